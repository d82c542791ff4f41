#include "ctl/output.h"
#include "ctl/setting.h"
#include "ctl/verbs.h"
#include "base/pack.h"
#include "base/limits.h"
#include "imap/ext.h"
#include <errno.h>
#include <unistd.h>

static const char default_file[] = "/etc/posthorn/posthorn.conf";

// A directory that was given relative to where the person stands.
static const char *
absolute(const char *path, struct buf *b)
{
    char here[4096];
    if (path == NULL || path[0] == '/')
        return path;
    if (getcwd(here, sizeof here) == NULL)
        return path;
    buf_printf(b, "%s/%s", here, path);
    buf_put_char(b, '\0');
    return b->p;
}

// Also where it cannot be looked at: then it is no reason to take the defaults.
static bool
is_there(const char *file)
{
    return faccessat(AT_FDCWD, file, F_OK, 0) == 0 || errno == EACCES;
}

enum result
verb_config(const struct verb_options *o, struct config **c_out, struct fault *f)
{
    const char *file = o->file;
    if (file == NULL && o->data == NULL && is_there(default_file))
        file = default_file;
    struct buf path;
    buf_init(&path, 8192);
    enum result r = config_load(file, absolute(o->data, &path), c_out, f);
    buf_done(&path);
    return r;
}

static int
load(const struct verb_options *o, struct config **c)
{
    struct fault f;
    if (verb_config(o, c, &f) == R_OK)
        return 0;
    return output_fault(&f, 1);
}

static struct field
value_of(const struct setting *s, const struct config *c, struct buf *packed)
{
    const void *m = (const char *)c + s->offset;
    const struct config_list *list = m;
    const char *text = s->kind == SETTING_SWITCH ? *(const char *const *)m : "";
    switch (s->kind) {
    case SETTING_TEXT:
    case SETTING_CHOICE:
        break;
    case SETTING_SWITCH:  // as the BOOL that it was before it had a third word
        if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
            return field_flag("value", "", text[0] == 't');
        break;
    case SETTING_BOOL:
        return field_flag("value", "", *(const bool *)m);
    case SETTING_LIST:
        for (size_t i = 0; i < list->n; i++)
            pack_span(packed, span_str(list->items[i]));
        return field_list("value", "", buf_span(packed));
    case SETTING_NUMBER:
    case SETTING_SIZE:
    case SETTING_TIME:
        return field_number("value", "", *(const uint64_t *)m);
    }
    return field_str("value", "", *(const char *const *)m);
}

// The text form of the settings is a configuration file; as rows they are for programs only.
static void
show_setting(const struct setting *s, const struct config *c)
{
    struct buf packed;
    buf_init(&packed, LIMIT_config_packed);
    output_row("setting", FIELDS(field_str("name", "", s->name), value_of(s, c, &packed),
                                 field_str("help", "", s->text)));
    buf_done(&packed);
}

int
verb_config_dump(const struct verb_options *o, const char *const *args, size_t n)
{
    struct config *c;
    (void)args, (void)n;
    if (load(o, &c) != 0)
        return 1;
    struct config shown = *c;
    config_hide(&shown, NULL);
    struct buf b;
    buf_init(&b, LIMIT_config_packed);
    config_dump(&shown, &b);
    output_row("file", FIELDS(field_text(NULL, "%", span_trim(buf_span(&b)))));
    buf_done(&b);
    for (size_t i = 0; i < settings_count; i++)
        if (!setting_is_hidden(&settings[i]))
            show_setting(&settings[i], &shown);
    config_free(&c);
    return 0;
}

static const char *const slots[] = {
    [SLOT_FETCH] = "FETCH",
    [SLOT_FETCH_MODIFIER] = "FETCH modifier",
    [SLOT_SEARCH] = "SEARCH",
    [SLOT_SEARCH_RETURN] = "SEARCH return",
    [SLOT_THREAD] = "THREAD",
    [SLOT_SORT] = "SORT",
    [SLOT_STORE] = "STORE modifier",
    [SLOT_STORE_ITEM] = "STORE",
    [SLOT_SELECT] = "SELECT",
    [SLOT_APPEND] = "APPEND",
    [SLOT_LIST_SELECT] = "LIST selection",
    [SLOT_LIST_RETURN] = "LIST return",
    [SLOT_STATUS] = "STATUS",
    [SLOT_CREATE] = "CREATE",
};

static void
pack_pair(struct buf *packed, const char *first, const char *second)
{
    struct buf b;
    buf_init(&b, 256);
    buf_printf(&b, "%s %s", first, second);
    pack_span(packed, buf_span(&b));
    buf_done(&b);
}

// Each command as it may be given: FETCH and UID FETCH are two.
static void
pack_verbs(struct buf *packed, const struct imap_verb *v)
{
    for (; v != NULL && v->name != NULL; v++) {
        if (!(v->flags & VERB_ONLY_UID))
            pack_span(packed, span_str(v->name));
        if (v->flags & (VERB_UID | VERB_ONLY_UID))
            pack_pair(packed, "UID", v->name);
    }
}

static void
pack_words(struct buf *packed, const struct imap_word *w)
{
    for (; w != NULL && w->name != NULL; w++)
        pack_pair(packed, slots[w->slot], w->name);
}

static void
show_extension(const struct imap_ext *e)
{
    struct buf text, commands, words;
    buf_init(&text, 256);
    buf_init(&commands, 4096);
    buf_init(&words, 4096);
    buf_put_str(&text, e->capability ? e->capability : "");
    if (e->capability_put != NULL)
        e->capability_put(NULL, &text);
    pack_verbs(&commands, e->verbs);
    pack_words(&words, e->words);
    output_row("extension",
               FIELDS(field_str("name", "%", e->name),
                      field_text("capability", "@15%", span_trim(buf_span(&text))),
                      field_str("rfc", "@46%", e->rfc),
                      field_list("commands", "", buf_span(&commands)),
                      field_list("words", "", buf_span(&words))));
    buf_done(&text);
    buf_done(&commands);
    buf_done(&words);
}

int
verb_capabilities(const struct verb_options *o, const char *const *args, size_t n)
{
    (void)o, (void)args, (void)n;
    for (size_t i = 0; imap_exts[i] != NULL; i++)
        show_extension(imap_exts[i]);
    return 0;
}
