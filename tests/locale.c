/* Programs set a locale; one with a decimal comma changes no number that the library reads. */
#include <locale.h>
#include <unistd.h>

#include "common.h"

/* German numbers, made for this test where the system has none. False, said, where it cannot make them. */
static bool comma(void) {
    char folder[] = "/tmp/tern-locale-XXXXXX", command[256];
    bool ok = setlocale(LC_ALL, "de_DE.UTF-8") != NULL;
    if (!ok && mkdtemp(folder)) {
        snprintf(command, sizeof command, "localedef -i de_DE -f UTF-8 %s/de_DE.UTF-8 >/dev/null 2>&1", folder);
        ok = system(command) <= 256 && setenv("LOCPATH", folder, 1) == 0 && setlocale(LC_ALL, "de_DE.UTF-8");
        snprintf(command, sizeof command, "rm -rf %s", folder);
        if (system(command) != 0) return false;
    }
    if (!ok) fprintf(stderr, "skipped: there is no locale with a decimal comma, and localedef makes none\n");
    return ok && strtod("1,5", NULL) > 1.4;
}

/* The third derivative comes from the row's text, which has constants. */
TERN_TEST(locale, the_rows_texts) {
    if (!comma()) return;
    const tern_backward_opts again = {.create_graph = true};
    tern_tensor *x = tern_require_grad(tern_full(TERN_SHAPE(1), 4, (tern_options){.dtype = TERN_F64}), true);
    tern_tensor *y = tern_sqrt(x), *g[3];
    REQUIRE(tern_grad(y, &x, 1, NULL, again, &g[0]) && tern_grad(g[0], &x, 1, NULL, again, &g[1]), "%s",
            tern_error_message());
    REQUIRE(tern_grad(g[1], &x, 1, NULL, again, &g[2]), "%s", tern_error_message());
    CHECK_ITEM(g[2], 3.0 / 8 / 32, 1e-12); /* 3/8 x^(-5/2) */
}
