#include "mime/mail_test.h"

#include "mime/render.h"

static void
check_string(struct buf *got, const char *want)
{
    buf_put_char(got, '\0');
    assert_string_equal(got->p, want);
    buf_done(got);
}

#define NOBODY "NIL NIL NIL NIL NIL NIL"
#define ONE(address) "(" address ") (" address ") (" address ") NIL NIL NIL"

static const struct {
    const char *header, *want;
    bool utf8;
} envelopes[] = {
    {"", "(NIL NIL " NOBODY " NIL NIL)", false},
    {"Date: d\nSubject: s\nIn-Reply-To: <i>\nMessage-ID: <m>\n",
     "(\"d\" \"s\" " NOBODY " \"<i>\" \"<m>\")", false},
    {"Subject:\n", "(NIL \"\" " NOBODY " NIL NIL)", false},
    {"Subject:  a \t b\n  c \n", "(NIL \"a b c\" " NOBODY " NIL NIL)", false},
    {"Subject: a \"b\" \\c\n", "(NIL \"a \\\"b\\\" \\\\c\" " NOBODY " NIL NIL)", false},
    {"Subject: \"\"\"\"\"\n", "(NIL {5}\r\n\"\"\"\"\" " NOBODY " NIL NIL)", false},
    {"Subject: s\xC3\xBC\xC3\x9F x\n",
     "(NIL \"=?utf-8?Q?s=C3=BC=C3=9F?= x\" " NOBODY " NIL NIL)", false},
    {"Subject: s\xC3\xBC\n", "(NIL \"s\xC3\xBC\" " NOBODY " NIL NIL)", true},
    {"Subject: s\xFC\n", "(NIL \"=?unknown-8bit?Q?s=FC?=\" " NOBODY " NIL NIL)", true},
    {"From: Ann <a@b>\n", "(NIL NIL " ONE("(\"Ann\" NIL \"a\" \"b\")") " NIL NIL)", false},
    {"From: a@b (Ann)\n", "(NIL NIL " ONE("(\"Ann\" NIL \"a\" \"b\")") " NIL NIL)", false},
    {"From: <@r,@s:a@b>\n", "(NIL NIL " ONE("(NIL \"@r,@s\" \"a\" \"b\")") " NIL NIL)",
     false},
    {"From: a\n", "(NIL NIL " ONE("(NIL NIL \"a\" \"MISSING_DOMAIN\")") " NIL NIL)", false},
    {"From: a@b\nFrom: c@d\nSender:\n",
     "(NIL NIL " ONE("(NIL NIL \"a\" \"b\")(NIL NIL \"c\" \"d\")") " NIL NIL)", false},
    {"To: G: a@b, c@d;, e@f\nCc: Empty:;\n",
     "(NIL NIL NIL NIL NIL ((NIL NIL \"G\" NIL)(NIL NIL \"a\" \"b\")(NIL NIL \"c\" "
     "\"d\")"
     "(NIL NIL NIL NIL)(NIL NIL \"e\" \"f\")) ((NIL NIL \"Empty\" NIL)(NIL NIL NIL "
     "NIL)) "
     "NIL NIL NIL)",
     false},
    // RFC 5322 appendix A.6.1 and section 4.4: empty places
    {"To: a@b, , c@d,\nCc: ,(x),a@b\nBcc: G:,a@b,,;,,\n",
     "(NIL NIL NIL NIL NIL ((NIL NIL \"a\" \"b\")(NIL NIL \"c\" \"d\")) "
     "((NIL NIL \"a\" \"b\")) ((NIL NIL \"G\" NIL)(NIL NIL \"a\" \"b\")"
     "(NIL NIL NIL NIL)) NIL NIL)",
     false},
    // what is broken hides none of those behind it
    {"To: a@b <a@b>, c@d\nCc: U <;@x>\nBcc: G:a b@c <x,\"y@z\">,d@e x;;,f@g\n",
     "(NIL NIL NIL NIL NIL ((NIL NIL \"a\" \"b\")(NIL NIL \"c\" \"d\")) "
     "((\"U\" NIL \"MISSING_MAILBOX\" \"SYNTAX_ERROR\")) ((NIL NIL \"G\" NIL)"
     "(\"a b\" NIL \"MISSING_MAILBOX\" \"MISSING_DOMAIN\")(NIL NIL \"d\" \"e\")"
     "(NIL NIL NIL NIL)(NIL NIL \"f\" \"g\")) NIL NIL)",
     false},
    // names that are no phrases
    {"From: [List]  Joe \"A.\"(c) B <j@x.org>\nSender: Joe @ Work <j@x.org>\n"
     "Reply-To: =?utf-8?Q?J?= [x] <j@x>, a@b <c@d> e\n",
     "(NIL NIL ((\"[List] Joe A. B\" NIL \"j\" \"x.org\")) "
     "((\"Joe @ Work\" NIL \"j\" \"x.org\")) "
     "((\"=?utf-8?Q?J?= [x]\" NIL \"j\" \"x\")(\"a@b\" NIL \"c\" \"d\")) "
     "NIL NIL NIL NIL NIL)",
     false},
    // neither a comma nor a semicolon is in such a name; what is no address leaves all as it was
    {"To: G: a:b [x] <c@d>; , a.b: c <j@x>;\nCc: M\xC3\xBCller, J. R. [x] <j@x>, a; b "
     "<c@d>\n"
     "Bcc: a@b <c>, a@[x<y@z>], a@b [x <c d@e>, [x <\n",
     "(NIL NIL NIL NIL NIL ((NIL NIL \"G\" NIL)(\"a:b [x]\" NIL \"c\" \"d\")"
     "(NIL NIL NIL NIL)(NIL NIL \"a.b\" NIL)(\"c\" NIL \"j\" \"x\")(NIL NIL NIL NIL)) "
     "((NIL NIL \"M\xC3\xBCller\" \"MISSING_DOMAIN\")(\"J. R. [x]\" NIL \"j\" \"x\")"
     "(NIL NIL \"a\" \"MISSING_DOMAIN\")) "
     "((NIL NIL \"a\" \"b\")(NIL NIL \"a\" \"[x<y@z>]\")(NIL NIL \"a\" \"b\")"
     "(NIL NIL \"MISSING_MAILBOX\" \"MISSING_DOMAIN\")) NIL NIL)",
     true},
    {"Bcc: \"x \\\"y\\\"\" <\"l p\"@[1.2.3.4]>\n",
     "(NIL NIL NIL NIL NIL NIL NIL ((\"x \\\"y\\\"\" NIL \"l p\" \"[1.2.3.4]\")) NIL "
     "NIL)",
     false},
};

static void
test_render_envelope(void **state)
{
    (void)state;

    for (size_t i = 0; i < sizeof(envelopes) / sizeof(envelopes[0]); i++) {
        struct arena *a = arena_new();
        struct buf got;
        buf_init(&got, 1 << 16);
        mime_render_envelope(&got, scan_in_cuts(a, span_str(envelopes[i].header), 4096),
                             envelopes[i].utf8);
        check_string(&got, envelopes[i].want);
        arena_free(&a);
    }
}

#define TEXT "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" "
#define V "MIME-Version: 1.0\r\n"

static void
test_render_body(void **state)
{
    (void)state;
    static const struct {
        const char *message, *want_body, *want_structure;
    } rows[] = {
        {"\r\nx\r\n", TEXT "3 1)", TEXT "3 1 NIL NIL NIL NIL)"},
        {"Content-Type: TEXT/Html; Charset=x; a=\"b c\"\r\n\r\n",
         "(\"TEXT\" \"Html\" (\"Charset\" \"x\" \"a\" \"b c\") NIL NIL \"7bit\" 0 0)",
         NULL},
        {"Content-Type: nonsense\r\n\r\nx", TEXT "1 0)", NULL},
        // no MIME-Version
        {"Content-Transfer-Encoding: base64\r\n\r\nx", TEXT "1 0)", NULL},
        {V "Content-Transfer-Encoding: BASE64\r\n\r\nx",
         "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"BASE64\" 1 0)", NULL},
        {"Content-Type: image/png\r\nContent-ID: <i>\r\nContent-Description: d\r\n"
         "Content-MD5: m\r\nContent-Disposition: inline; filename=f\r\n"
         "Content-Language: de, en\r\nContent-Location: l\r\n\r\nx",
         "(\"image\" \"png\" NIL \"<i>\" \"d\" \"7bit\" 1)",
         "(\"image\" \"png\" NIL \"<i>\" \"d\" \"7bit\" 1 \"m\" (\"inline\" (\"filename\" "
         "\"f\")) "
         "(\"de\" \"en\") \"l\")"},
        {"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b--\r\n",
         "(" TEXT "0 0) \"mixed\")",
         "(" TEXT "0 0 NIL NIL NIL NIL) \"mixed\" (\"boundary\" \"b\") NIL NIL NIL)"},
        {"Content-Type: multipart/mixed; "
         "boundary=b\r\n\r\n--b\r\n\r\na\r\n--b\r\n\r\nb\r\n--b--\r\n",
         "(" TEXT "1 0)" TEXT "1 0) \"mixed\")", NULL},
        {"Content-Type: message/rfc822\r\n\r\nSubject: s\r\n\r\nx\r\n",
         "(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 17 (NIL \"s\" " NOBODY
         " NIL NIL) " TEXT "3 1) 3)",
         NULL},
        {"Content-Type: message/global\r\n\r\nSubject: s\r\n\r\nx\r\n",
         "(\"message\" \"global\" NIL NIL NIL \"7bit\" 17)", NULL},
        // neither quoted nor a token
        {"Content-Type: a/b; name=my file (1).txt (c) ; x=a/b c; start=<i@h>(c); "
         "type==?a?=\r\n"
         "Content-Disposition: x; filename= a(1) \"b\",\tc (d; size=3; FileName=a=b "
         "(c)\r\n\r\n",
         "(\"a\" \"b\" (\"name\" \"my file (1).txt\" \"x\" \"a/b\" "
         "\"start\" \"<i@h>(c)\" \"type\" \"=?a?=\") NIL NIL \"7bit\" 0)",
         "(\"a\" \"b\" (\"name\" \"my file (1).txt\" \"x\" \"a/b\" "
         "\"start\" \"<i@h>(c)\" \"type\" \"=?a?=\") NIL NIL \"7bit\" 0 NIL "
         "(\"x\" (\"filename\" \"a(1) \\\"b\\\",\tc (d\" \"size\" \"3\" "
         "\"FileName\" \"a=b\")) NIL NIL)"},
        // tokens with comments, and what stays cut
        {"Content-Type: a/b; name=a(1) (x;y) ; x=a b; name*=u''a b; charset=a, b\r\n\r\n",
         "(\"a\" \"b\" (\"name\" \"a\" \"x\" \"a\" \"charset\" \"a\" \"name*\" "
         "\"u''a\") NIL NIL \"7bit\" 0)",
         NULL},
        {"Content-Type: a/b; x*1=\"c\"; y=z; x*0*=utf-8''%41; q*0=1; q*2=3\r\n\r\n",
         "(\"a\" \"b\" (\"y\" \"z\" \"q*0\" \"1\" \"q*2\" \"3\" \"x*\" \"utf-8''%41c\") "
         "NIL NIL \"7bit\" 0)",
         NULL},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct arena *a = arena_new();
        const struct mime_part *root = scan_in_cuts(a, span_str(rows[i].message), 4096);
        struct buf got;
        buf_init(&got, 1 << 16);
        mime_render_body(&got, root, false, false);
        check_string(&got, rows[i].want_body);
        if (rows[i].want_structure) {
            mime_render_body(&got, root, true, false);
            check_string(&got, rows[i].want_structure);
        }
        arena_free(&a);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_render_envelope),
        cmocka_unit_test(test_render_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
