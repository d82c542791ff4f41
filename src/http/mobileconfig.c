// Apple's configuration profile with one mail account (com.apple.mail.managed). answer.c has it signed; a device that gets it without a signature says so, and asks.

#include "base/hash.h"
#include "http/offers.h"
#include "http/xml.h"

static void
put_key(struct buf *out, unsigned depth, const char *key, struct span value)
{
    xml_put(out, depth, "key", span_str(key));
    xml_put(out, depth, "string", value);
}

static void
put_key_bool(struct buf *out, unsigned depth, const char *key, bool value)
{
    xml_put(out, depth, "key", span_str(key));
    buf_printf(out, "%*s<%s/>\n", (int)depth * 2, "", value ? "true" : "false");
}

static void
put_key_number(struct buf *out, unsigned depth, const char *key, unsigned value)
{
    xml_put(out, depth, "key", span_str(key));
    xml_put_number(out, depth, "integer", value);
}

// The same for the same address, so that a profile that comes again takes the place of the first (RFC 9562 section 5.8).
static void
put_uuid(struct buf *out, unsigned depth, const char *what, struct span address)
{
    struct buf b;
    char text[37];
    buf_init(&b, 2000);
    buf_printf(&b, "%s %.*s", what, SPAN_ARG(address));
    uint64_t one = hash64(buf_span(&b));
    buf_put_char(&b, '.');
    uint64_t two = hash64(buf_span(&b));
    buf_done(&b);
    snprintf(text, sizeof text, "%08X-%04X-8%03X-%04X-%012llX", (unsigned)(one >> 32),
             (unsigned)(one >> 16 & 0xFFFF), (unsigned)(one & 0xFFF),
             (unsigned)(0x8000 | (two >> 48 & 0x3FFF)),
             (unsigned long long)(two & 0xFFFFFFFFFFFF));
    put_key(out, depth, "PayloadUUID", span_str(text));
}

static void
put_server(struct buf *out, const char *way, const struct offer *offer, struct span address)
{
    char key[80];
    snprintf(key, sizeof key, "%sMailServerAuthentication", way);
    put_key(out, 3, key, SPAN("EmailAuthPassword"));
    snprintf(key, sizeof key, "%sMailServerHostName", way);
    put_key(out, 3, key, offer->host);
    snprintf(key, sizeof key, "%sMailServerPortNumber", way);
    put_key_number(out, 3, key, offer->port);
    snprintf(key, sizeof key, "%sMailServerUseSSL", way);
    put_key_bool(out, 3, key, true);
    snprintf(key, sizeof key, "%sMailServerUsername", way);
    put_key(out, 3, key, address);
}

static void
put_identifier(struct buf *out, unsigned depth, struct span host, const char *end)
{
    struct buf b;
    buf_init(&b, 1000);
    buf_printf(&b, "%.*s.%s", SPAN_ARG(host), end);
    put_key(out, depth, "PayloadIdentifier", buf_span(&b));
    buf_done(&b);
}

static void
put_account(const struct offers *o, const struct offer *in, const struct offer *sending,
            struct span address, struct buf *out)
{
    bool imap = strcmp(offer_kind_protocol(in->kind), "imap") == 0;
    buf_put_str(out, "    <dict>\n");
    put_key(out, 3, "EmailAccountDescription", address);
    put_key(out, 3, "EmailAccountType",
            imap ? SPAN("EmailTypeIMAP") : SPAN("EmailTypePOP"));
    put_key(out, 3, "EmailAddress", address);
    put_server(out, "Incoming", in, address);
    put_server(out, "Outgoing", sending, address);
    put_key_bool(out, 3, "OutgoingPasswordSameAsIncomingPassword", true);
    put_key(out, 3, "PayloadDisplayName", address);
    put_identifier(out, 3, o->host, "mail");
    put_key(out, 3, "PayloadType", SPAN("com.apple.mail.managed"));
    put_uuid(out, 3, "account", address);
    put_key_number(out, 3, "PayloadVersion", 1);
    buf_put_str(out, "    </dict>\n");
}

enum result
offers_mobileconfig(const struct offers *o, struct span address, struct buf *out)
{
    const struct offer *in = offers_best(o, OFFER_IMAPS, OFFER_IMAP);
    const struct offer *sending = offers_best(o, OFFER_SUBMISSIONS, OFFER_SUBMISSION);
    if (in == NULL)
        in = offers_best(o, OFFER_POP3S, OFFER_POP3);
    if (in == NULL || sending == NULL)
        return R_NONE;
    buf_put_str(
        out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
             "<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" "
             "\"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n"
             "<plist version=\"1.0\">\n<dict>\n  <key>PayloadContent</key>\n  <array>\n");
    put_account(o, in, sending, address, out);
    buf_put_str(out, "  </array>\n");
    put_key(out, 1, "PayloadDisplayName", address);
    put_identifier(out, 1, o->host, "profile");
    put_key(out, 1, "PayloadOrganization", o->host);
    put_key_bool(out, 1, "PayloadRemovalDisallowed", false);
    put_key(out, 1, "PayloadType", SPAN("Configuration"));
    put_uuid(out, 1, "profile", address);
    put_key_number(out, 1, "PayloadVersion", 1);
    buf_put_str(out, "</dict>\n</plist>\n");
    return R_OK;
}
