// Every charset that ICU has: texts converted by the table, where there is one, beside ICU itself.

#include "mime/single_byte.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <unicode/ucnv.h>

enum { TEXT = 700, TEXTS = 300 };

static uint64_t state = 88172645463325252u;

static uint64_t
next(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static size_t
by_icu(const char *name, const char *text, size_t n, char *out)
{
    UErrorCode error = U_ZERO_ERROR;
    UConverter *from = ucnv_open(name, &error), *to = ucnv_open("UTF-8", &error);
    UChar pivot[64], *pivot_from = pivot, *pivot_to = pivot;
    char *end = out;
    ucnv_convertEx(to, from, &end, out + (size_t)TEXT * 4, &text, text + n, pivot,
                   &pivot_from, &pivot_to, pivot + 64, true, true, &error);
    assert_true(U_SUCCESS(error));
    ucnv_close(from);
    ucnv_close(to);
    return (size_t)(end - out);
}

// Some texts are all octets, some ASCII with others in between.
static void
check_text(const char *name, const struct mime_single_byte *t)
{
    char text[TEXT], want[TEXT * 4];
    size_t n = (size_t)(next() % TEXT) + 1;
    bool mostly = next() % 2 == 0;
    struct buf got;
    buf_init(&got, sizeof want);
    for (size_t i = 0; i < n; i++)
        text[i] = (char)(mostly && next() % 50 > 0 ? 'a' + next() % 26 : next());
    size_t size = by_icu(name, text, n, want);
    mime_single_byte_put(t, span_of(text, n), &got);
    if (!span_eq(buf_span(&got), span_of(want, size)))
        fail_msg("%s: another text", name);
    buf_done(&got);
}

static void
test_all_charsets(void **unused)
{
    size_t tables = 0;
    (void)unused;
    for (int32_t i = 0; i < ucnv_countAvailable(); i++) {
        const char *name = ucnv_getAvailableName(i);
        const struct mime_single_byte *t = mime_single_byte_find(name);
        assert_ptr_equal(t, mime_single_byte_find(name));
        tables += t != NULL;
        for (size_t n = 0; t && n < TEXTS; n++)
            check_text(name, t);
    }
    assert_true(tables > 40);
}

static void
test_usual_names(void **unused)
{
    static const char *const names[] = {"windows-1252", "windows-1251", "iso-8859-2",
                                        "iso-8859-15",  "koi8-r",       "macintosh"};
    static const char *const others[] = {"iso-2022-jp", "gb18030", "big5",
                                         "utf-16",      "utf-7",   "no-such-charset"};
    (void)unused;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const struct mime_single_byte *t = mime_single_byte_find(names[i]);
        assert_non_null(t);
        assert_true(mime_single_byte_is_ascii(t));
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_null(mime_single_byte_find(others[i]));
    const struct mime_single_byte *ebcdic = mime_single_byte_find("ibm-37");
    assert_true(!ebcdic || !mime_single_byte_is_ascii(ebcdic));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_charsets),
        cmocka_unit_test(test_usual_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
