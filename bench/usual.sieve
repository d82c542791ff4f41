# What users have: rows of lmtp-rules.
require ["fileinto", "mailbox", "imap4flags", "variables", "relational", "comparator-i;ascii-numeric", "date", "vacation"];
if anyof (header :is "X-Spam-Flag" "YES", header :value "ge" :comparator "i;ascii-numeric" "X-Spam-Score" "6") {
    fileinto :create "Spam";
    stop;
}
if header :contains "List-Id" ["<postfix-users.postfix.org>", "<dovecot.dovecot.org>"] { fileinto :create "Lists/Mail"; stop; }
if header :matches "List-Id" "*<debian-*.lists.debian.org>" { fileinto :create "Lists/${2}"; stop; }
if exists "List-Unsubscribe" { fileinto :create "Newsletters"; stop; }
if address :domain "from" ["bank.example.net", "paypal.example.com", "shop.example.net"] { addflag "\\Flagged"; }
if header :contains "subject" ["invoice", "receipt", "Rechnung"] { fileinto :create "Bills"; stop; }
if address :is ["to", "cc"] ["team@example.com", "dev@example.com"] { fileinto :create "Team"; stop; }
if allof (header :contains "from" ["cron daemon", "root@"], header :contains "subject" "cron <") { fileinto :create "Machines"; stop; }
if header :matches "subject" "*[ticket #*]*" { fileinto :create "Tickets"; stop; }
if size :over 10M { fileinto :create "Large"; stop; }
if allof (currentdate :value "ge" "date" "2026-01-02", currentdate :value "le" "date" "2026-01-16") {
    vacation :days 7 :subject "Away" "I am away until 16 January.";
}
