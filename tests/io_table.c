/* CSV files and tables, beside Python's csv module, and datasets of them. */
#include "common.h"
#include "tern/table.h"

#include <locale.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *file(const char *name, const char *text, size_t bytes) {
    const char *path = test_path(name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(text, 1, bytes, f) != bytes || fclose(f) != 0) FAIL("cannot write %s", path);
    return path;
}

static tern_table *table(const char *text, tern_csv_opts o) {
    return tern_csv_load(file("t.csv", text, strlen(text)), o);
}

static void as_python(char delimiter, const char *text, int64_t rows, int columns, const char *const *cell) {
    tern_table *t = table(text, (tern_csv_opts){.delimiter = delimiter, .no_header = true, .types = NULL});
    check_case("%s", text);
    REQUIRE(t && tern_table_rows(t) == rows && tern_table_columns(t) == columns);
    for (int64_t i = 0; i < rows; i++)
        for (int c = 0; c < columns; c++) {
            const char *got = tern_table_text(t, c, i), *want = cell[i * columns + c];
            if (!got && !want[strspn(want, " \t")]) continue; /* blank is missing */
            CHECK(got && strcmp(got, want) == 0, "row %d, column %d: %s; %s expected", (int)i, c, got ? got : "missing",
                  want);
        }
    tern_table_free(t);
}

TERN_TEST(io_table, cells_as_python_s_csv_module) {
#define CSV(delimiter, text, rows, columns, ...) \
    as_python(delimiter, text, rows, columns, (const char *[]){__VA_ARGS__});
#include "reference/csv_cases.def"
}

static const char people[] =
    "\xef\xbb\xbfname,age,\"height, m\",note,id\r\n"
    "Ann,31,1.5,,9007199254740993\n"
    "\r\n"
    "\"O\"\"Hara, B.\",NA,1e0, x ,-2\n"
    "Cid,7,.25,\"two\nlines\",3";

TERN_TEST(io_table, columns) {
    tern_table *t = table(people, (tern_csv_opts){0});
    REQUIRE(t && tern_table_rows(t) == 3 && tern_table_columns(t) == 5);
    CHECK(strcmp(tern_table_name(t, 0), "name") == 0 && tern_table_find(t, "height, m") == 2);
    CHECK(tern_table_find(t, "none") == -1 && !tern_table_name(t, 5) && !tern_table_text(t, 0, 3));
    const tern_column_type want[5] = {TERN_COLUMN_TEXT, TERN_COLUMN_INTEGER, TERN_COLUMN_NUMBER, TERN_COLUMN_TEXT,
                                      TERN_COLUMN_INTEGER};
    for (int c = 0; c < 5; c++) CHECK(tern_table_type(t, c) == want[c], "column %d", c);
    CHECK(tern_table_missing(t, 1) == 1 && tern_table_missing(t, 3) == 1 && tern_table_missing(t, 0) == 0);
    CHECK(strcmp(tern_table_text(t, 0, 1), "O\"Hara, B.") == 0 && strcmp(tern_table_text(t, 3, 1), " x ") == 0);
    CHECK(strcmp(tern_table_text(t, 3, 2), "two\nlines") == 0 && !tern_table_text(t, 1, 1));
    CHECK_VALUES(tern_table_numbers(t, 1), 31, (double)NAN, 7);
    CHECK_VALUES(tern_table_numbers(t, 2), 1.5, 1, 0.25);
    tern_tensor *id = tern_table_numbers(t, 4);
    CHECK(tern_dtype_of(id) == TERN_I64 && *(int64_t *)tern_data(id) == 9007199254740993);
    const char *const *names;
    CHECK(tern_table_categories(t, 1, &names) == 2 && strcmp(names[0], "7") == 0 && strcmp(names[1], "31") == 0);
    CHECK_VALUES(tern_table_codes(t, 1), 1, -1, 0);
    CHECK_VALUES(tern_table_codes(t, 0), 0, 2, 1);
    EXPECT_ERROR(tern_table_numbers(t, 0), TERN_ERR_DTYPE, "\"name\"");
    EXPECT_ERROR(tern_table_codes(t, 5), TERN_ERR_INDEX, "column 5 of 5");
    CHECK(tern_table_categories(t, -1, NULL) == -1);
    EXPECT_PENDING(TERN_ERR_INDEX, "column -1");
    tern_table_free(t);
    tern_table_free(NULL);
    t = table(people, (tern_csv_opts){.types = "-nt-?", .missing = (const char *[]){"NA", "7", NULL}});
    REQUIRE(t && tern_table_columns(t) == 3 && tern_table_missing(t, 0) == 2);
    CHECK(strcmp(tern_table_text(t, 1, 1), "1e0") == 0 && tern_table_type(t, 1) == TERN_COLUMN_TEXT);
    CHECK(tern_table_type(t, 0) == TERN_COLUMN_NUMBER && strcmp(tern_table_name(t, 2), "id") == 0);
    tern_table_free(t);
    t = table("# a remark\n1;2\n3;4\n", (tern_csv_opts){.skip = 1, .no_header = true, .delimiter = ';'});
    REQUIRE(t && tern_table_rows(t) == 2 && strcmp(tern_table_name(t, 1), "1") == 0);
    tern_table_free(t);
}

TERN_TEST(io_table, what_a_number_is) {
    static const struct {
        const char *text;
        tern_column_type type;
    } cases[] = {{"1", TERN_COLUMN_INTEGER},
                 {"-0", TERN_COLUMN_INTEGER},
                 {" +7 ", TERN_COLUMN_INTEGER},
                 {"9223372036854775807", TERN_COLUMN_INTEGER},
                 {"-9223372036854775808", TERN_COLUMN_INTEGER},
                 {"9223372036854775808", TERN_COLUMN_NUMBER},
                 {"1.", TERN_COLUMN_NUMBER},
                 {"-.5e-3", TERN_COLUMN_NUMBER},
                 {"1e", TERN_COLUMN_TEXT},
                 {".", TERN_COLUMN_TEXT},
                 {"0x10", TERN_COLUMN_TEXT},
                 {"1 2", TERN_COLUMN_TEXT},
                 {"inf", TERN_COLUMN_TEXT},
                 {"-", TERN_COLUMN_TEXT},
                 {"1,5", TERN_COLUMN_TEXT}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_case("%s", cases[i].text);
        tern_table *t = table(cases[i].text, (tern_csv_opts){.no_header = true, .delimiter = ';'});
        CHECK(t && tern_table_type(t, 0) == cases[i].type);
        tern_table_free(t);
    }
    if (setlocale(LC_NUMERIC, "de_DE.UTF-8")) { /* where there is one, with a comma for the point */
        tern_table *t = table("1.5", (tern_csv_opts){.no_header = true});
        CHECK_VALUES(tern_table_numbers(t, 0), 1.5);
        tern_table_free(t);
        setlocale(LC_NUMERIC, "C");
    }
}

TERN_TEST(io_table, bad_files) {
    EXPECT_ERROR(tern_csv_load("/nonexistent/file", (tern_csv_opts){0}), TERN_ERR_IO, "No such file");
    EXPECT_ERROR(tern_csv_load("/", (tern_csv_opts){0}), TERN_ERR_IO, "not a file");
    EXPECT_ERROR(tern_csv_load(NULL, (tern_csv_opts){0}), TERN_ERR_ARGUMENT, "path");
    EXPECT_ERROR(table("", (tern_csv_opts){0}), TERN_ERR_FORMAT, "holds no row");
    EXPECT_ERROR(table("\n\n\r\n", (tern_csv_opts){0}), TERN_ERR_FORMAT, "holds no row");
    EXPECT_ERROR(table("a,b\n1,2\n3\n", (tern_csv_opts){0}), TERN_ERR_FORMAT, "line 3: 1 cells; the first row has 2");
    EXPECT_ERROR(table("a,b\n1,2,3\n", (tern_csv_opts){0}), TERN_ERR_FORMAT, "line 2: 3 cells");
    EXPECT_ERROR(table("a,b\n\"1\n\n2,3\n", (tern_csv_opts){0}), TERN_ERR_FORMAT, "line 2: a quote is opened");
    EXPECT_ERROR(table("a,b\n\"x\ny\"z,3\n", (tern_csv_opts){0}), TERN_ERR_FORMAT, "line 3: text stands behind");
    EXPECT_ERROR(table("a\n1\nx\n", (tern_csv_opts){.types = "n"}), TERN_ERR_FORMAT,
                 "line 3, column \"a\": \"x\" is no number");
    EXPECT_ERROR(table("a\n1\n1.5\n", (tern_csv_opts){.types = "i"}), TERN_ERR_FORMAT, "line 3, column \"a\": \"1.5\"");
    EXPECT_ERROR(table("a\n1\n", (tern_csv_opts){.types = "nn"}), TERN_ERR_ARGUMENT, "1 columns");
    EXPECT_ERROR(table("a\n1\n", (tern_csv_opts){.types = "q"}), TERN_ERR_ARGUMENT, "types");
    EXPECT_ERROR(table("a\n1\n", (tern_csv_opts){.types = "-"}), TERN_ERR_ARGUMENT, "no column");
    EXPECT_ERROR(table("a\n1\n", (tern_csv_opts){.delimiter = '"'}), TERN_ERR_ARGUMENT, "delimiter");
    EXPECT_ERROR(tern_csv_load(file("u.csv",
                                    "\xff\xfe"
                                    "a\0\n\0",
                                    6),
                               (tern_csv_opts){0}),
                 TERN_ERR_FORMAT, "byte of 0 at 3");
    const char *path = file("secret.csv", "a\n", 2);
    CHECK(chmod(path, 0) == 0);
    test_powers(false);
    EXPECT_ERROR(tern_csv_load(path, (tern_csv_opts){0}), TERN_ERR_IO, "Permission denied");
    test_powers(true);
    for (size_t cut = 0; cut < sizeof people - 1; cut++) { /* a cut text is a table or an error, and leaves nothing */
        tern_table_free(tern_csv_load(file("cut.csv", people, cut), (tern_csv_opts){0}));
        CHECK(tern_ok() || (tern_error_code() == TERN_ERR_FORMAT && strstr(tern_error_message(), "cut.csv")), "%s",
              tern_error_message());
        tern_error_clear();
    }
    for (size_t i = 0; i < (sizeof people - 1) * 8; i++) {
        char bad[sizeof people];
        memcpy(bad, people, sizeof people);
        bad[i / 8] = (char)(bad[i / 8] ^ 1 << i % 8);
        tern_table_free(tern_csv_load(file("bad.csv", bad, sizeof people - 1), (tern_csv_opts){0}));
        tern_error_clear();
    }
}

static void check_sample(tern_dataset *d, int64_t i, const double *x, double y) {
    float got[8];
    union {
        int64_t i;
        float f;
    } target;
    REQUIRE(d && d->x_shape.dim[0] <= 8 && d->get(d, i, got, &target));
    for (int64_t k = 0; k < d->x_shape.dim[0]; k++) CHECK_NUMBER((double)got[k], x[k], 1e-6);
    CHECK_NUMBER(d->y_dtype == TERN_I64 ? (double)target.i : (double)target.f, y, 1e-6);
}

TERN_TEST(io_table, as_datasets) {
    tern_table *t = table("a,b,kind,y\n1,10,red,0\n3,,blue,5\n,30,red,5\n8,20,,0\n", (tern_csv_opts){0});
    const char *const numbers[] = {"b", "a", NULL};
    tern_dataset *d =
        tern_table_dataset_new(t, "y", (tern_table_dataset_opts){.columns = numbers, .missing = TERN_MISSING_MEAN});
    REQUIRE(d && d->length == 4 && d->classes == 2 && strcmp(d->class_names[1], "5") == 0);
    check_sample(d, 1, (double[]){20, 3}, 1);
    check_sample(d, 2, (double[]){30, 4}, 1);
    int64_t label[4];
    CHECK(tern_dataset_labels(d, label) && label[3] == 0 && label[1] == 1);
    tern_dataset_free(d);
    d = tern_table_dataset_new(t, "y", (tern_table_dataset_opts){.one_hot = true, .missing = TERN_MISSING_DROP});
    REQUIRE(d && d->length == 1);
    check_sample(d, 0, (double[]){1, 10, 0, 1}, 0); /* blue, red */
    tern_dataset_free(d);
    d = tern_table_dataset_new(
        t, "y", (tern_table_dataset_opts){.one_hot = true, .missing = TERN_MISSING_ZERO, .regression = true});
    REQUIRE(d && d->length == 4 && d->classes == 0);
    check_sample(d, 3, (double[]){8, 20, 0, 0}, 0);
    check_sample(d, 1, (double[]){3, 0, 1, 0}, 5);
    tern_dataset_free(d);
    d = tern_table_dataset_new(
        t, "y", (tern_table_dataset_opts){.columns = numbers + 1, .missing = TERN_MISSING_MEAN, .standardise = true});
    const double std = sqrt((9 + 1 + 0 + 16) / 4.0); /* 1, 3, 4, 8 about 4 */
    check_sample(d, 0, (double[]){-3 / std}, 0);
    check_sample(d, 3, (double[]){4 / std}, 0);
    tern_dataset_free(d);
    EXPECT_ERROR(tern_table_dataset_new(t, "y", (tern_table_dataset_opts){0}), TERN_ERR_DTYPE, "\"kind\" is text");
    EXPECT_ERROR(tern_table_dataset_new(t, "y", (tern_table_dataset_opts){.one_hot = true}), TERN_ERR_FORMAT,
                 "line 3: no value in column \"b\"");
    EXPECT_ERROR(tern_table_dataset_new(t, "z", (tern_table_dataset_opts){0}), TERN_ERR_ARGUMENT, "no column \"z\"");
    EXPECT_ERROR(tern_table_dataset_new(t, "y", (tern_table_dataset_opts){.columns = (const char *[]){"q", NULL}}),
                 TERN_ERR_ARGUMENT, "no column \"q\"");
    EXPECT_ERROR(tern_table_dataset_new(t, "kind", (tern_table_dataset_opts){.missing = TERN_MISSING_MEAN}),
                 TERN_ERR_FORMAT, "line 5: no value in column \"kind\"");
    tern_table_free(t);
}

/* Test data as the training data is: its categories, classes, means and deviations, whatever the test data has. */
TERN_TEST(io_table, datasets_like_the_training_data) {
    tern_table *t = table("a,kind,y\n1,red,7\n3,blue,5\n,green,5\n8,red,7\n", (tern_csv_opts){0});
    tern_dataset *train = tern_table_dataset_new(
        t, "y", (tern_table_dataset_opts){.missing = TERN_MISSING_MEAN, .one_hot = true, .standardise = true});
    tern_table *u = table("y,kind,more,a\n7,red,x,\n7,green,x,10\n", (tern_csv_opts){0});
    tern_dataset *d = tern_table_dataset_new(u, "y", (tern_table_dataset_opts){.like = train});
    REQUIRE(train && d && d->length == 2 && d->classes == 2 && d->x_shape.dim[0] == 4);
    const double std = sqrt((9 + 1 + 0 + 16) / 4.0); /* 1, 3, 4, 8 about 4 */
    check_sample(d, 0, (double[]){0, 0, 0, 1}, 1);   /* blue, green, red; 5, 7 */
    check_sample(d, 1, (double[]){6 / std, 0, 1, 0}, 1);
    CHECK(strcmp(d->class_names[1], "7") == 0);
    tern_dataset *again = tern_table_dataset_new(u, "y", (tern_table_dataset_opts){.like = d});
    check_sample(again, 1, (double[]){6 / std, 0, 1, 0}, 1);
    tern_dataset_free(again);
    tern_dataset_free(d);
    d = tern_table_dataset_new(u, "y", (tern_table_dataset_opts){.like = train, .missing = TERN_MISSING_DROP});
    REQUIRE(d && d->length == 1);
    check_sample(d, 0, (double[]){6 / std, 0, 1, 0}, 1);
    tern_dataset_free(d);
    static const struct {
        const char *text, *why;
    } bad[] = {{"a,kind,y\n1,red,7\n1,pink,7\n", "line 3, column \"kind\": \"pink\" is none of"},
               {"a,kind,y\n1,red,6\n", "line 2, column \"y\": \"6\" is none of"},
               {"a,kind,y\n1,red,five\n", "\"five\" is none of"},
               {"a,kind,y\nmany,red,5\n", "line 2, column \"a\": \"many\" is no number"},
               {"a,kind,y\n1,red,\n", "no value in column \"y\""}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        tern_table *v = table(bad[i].text, (tern_csv_opts){0});
        EXPECT_ERROR(tern_table_dataset_new(v, "y", (tern_table_dataset_opts){.like = train}), TERN_ERR_FORMAT,
                     bad[i].why);
        d = i ? NULL : tern_table_dataset_new(v, "y", (tern_table_dataset_opts){.like = train, .unknown = true});
        if (i == 0) check_sample(d, 1, (double[]){-3 / std, 0, 0, 0}, 1);
        tern_dataset_free(d);
        tern_table_free(v);
    }
    tern_table *w = table("kind,y\nred,7\n", (tern_csv_opts){0});
    EXPECT_ERROR(tern_table_dataset_new(w, "y", (tern_table_dataset_opts){.like = train}), TERN_ERR_ARGUMENT,
                 "no column \"a\"");
    EXPECT_ERROR(tern_table_dataset_new(u, "y", (tern_table_dataset_opts){.like = train, .one_hot = true}),
                 TERN_ERR_ARGUMENT, "those of .like");
    EXPECT_ERROR(tern_table_dataset_new(u, "y", (tern_table_dataset_opts){.unknown = true}), TERN_ERR_ARGUMENT,
                 ".like");
    tern_dataset *other = tern_digits_new(true);
    EXPECT_ERROR(tern_table_dataset_new(u, "y", (tern_table_dataset_opts){.like = other}), TERN_ERR_ARGUMENT,
                 "no dataset of");
    tern_dataset_free(other);
    tern_dataset_free(train);
    tern_table_free(w);
    tern_table_free(u);
    tern_table_free(t);
}

/* A name that several columns have says nothing; by their places they can be used. */
TERN_TEST(io_table, names_that_repeat) {
    tern_table *t = table("a,a,b,y\n1,10,5,0\n2,20,6,1\n", (tern_csv_opts){0});
    tern_table *u = table("a,b,y\n1,5,0\n3,7,1\n", (tern_csv_opts){0}),
               *v = table("a,y,b,y\n1,0,5,1\n", (tern_csv_opts){0});
    const char *const a[] = {"a", NULL}, *const b[] = {"b", "b", NULL};
    tern_dataset *all = tern_table_dataset_new(t, "y", (tern_table_dataset_opts){0}), *d;
    check_sample(all, 1, (double[]){2, 20, 6}, 1);
    EXPECT_ERROR(tern_table_dataset_new(t, "y", (tern_table_dataset_opts){.like = all}), TERN_ERR_ARGUMENT,
                 "several columns of the training data are called \"a\"");
    EXPECT_ERROR(tern_table_dataset_new(u, "y", (tern_table_dataset_opts){.like = all}), TERN_ERR_ARGUMENT,
                 "several columns of the training data are called \"a\"");
    EXPECT_ERROR(tern_table_dataset_new(t, "y", (tern_table_dataset_opts){.columns = a}), TERN_ERR_ARGUMENT,
                 "columns 0 and 1 of");
    EXPECT_ERROR(tern_table_dataset_new(t, "a", (tern_table_dataset_opts){0}), TERN_ERR_ARGUMENT, "both called \"a\"");
    EXPECT_ERROR(tern_table_dataset_new(v, "y", (tern_table_dataset_opts){.columns = a}), TERN_ERR_ARGUMENT,
                 "both called \"y\"");
    tern_dataset_free(all);
    all = tern_table_dataset_new(u, "y", (tern_table_dataset_opts){0});
    EXPECT_ERROR(tern_table_dataset_new(t, "y", (tern_table_dataset_opts){.like = all}), TERN_ERR_ARGUMENT,
                 "both called \"a\"");
    tern_dataset_free(all);
    all = tern_table_dataset_new(u, "y", (tern_table_dataset_opts){.columns = b}); /* one column, twice */
    d = tern_table_dataset_new(t, "y", (tern_table_dataset_opts){.like = all});
    check_sample(d, 1, (double[]){6, 6}, 1);
    tern_dataset_free(d);
    tern_dataset_free(all);
    tern_table_free(t);
    tern_table_free(u);
    tern_table_free(v);
}

/* By Python's csv module and NumPy. */
TERN_TEST(io_table, real_tables) {
    const char *data = test_data_dir();
    if (!data) return;
    char path[600];
    snprintf(path, sizeof path, "%s/tabular/titanic.csv", data);
    tern_table *t = tern_csv_load(path, (tern_csv_opts){0});
    REQUIRE(t && tern_table_rows(t) == 891 && tern_table_columns(t) == 12);
    const int age = tern_table_find(t, "Age"), port = tern_table_find(t, "Embarked");
    CHECK(tern_table_missing(t, age) == 177 && tern_table_missing(t, tern_table_find(t, "Cabin")) == 687);
    CHECK(strcmp(tern_table_text(t, 3, 1), "Cumings, Mrs. John Bradley (Florence Briggs Thayer)") == 0);
    CHECK_ITEM(tern_nanmean(tern_table_numbers(t, age), NULL, 0, false), 29.69911764705882, 1e-12);
    const char *const *names;
    CHECK(tern_table_categories(t, port, &names) == 3 && strcmp(names[2], "S") == 0);
    CHECK(tern_table_categories(t, tern_table_find(t, "Cabin"), NULL) == 147);
    tern_table_free(t);
    snprintf(path, sizeof path, "%s/tabular/housing.csv", data);
    t = tern_csv_load(path, (tern_csv_opts){0});
    REQUIRE(t && tern_table_rows(t) == 20640);
    CHECK_ITEM(tern_mean(tern_table_numbers(t, 8), NULL, 0, false), 206855.81690891474, 1e-9);
    CHECK_ITEM(tern_sum(tern_table_numbers(t, 0), NULL, 0, false), -2467918.6999999997, 1e-9);
    tern_dataset *d = tern_table_dataset_new(
        t, "median_house_value",
        (tern_table_dataset_opts){.missing = TERN_MISSING_MEAN, .one_hot = true, .standardise = true});
    REQUIRE(d && d->length == 20640 && d->x_shape.dim[0] == 13 && d->classes == 0);
    float x[13], y;
    CHECK(d->get(d, 0, x, &y) && y == 452600.0f);
    CHECK_NUMBER((double)x[4], -0.9752278507082348, 1e-6);
    CHECK(x[8] == 0 && x[11] == 1 && x[12] == 0); /* NEAR BAY, the fourth of five */
    tern_dataset_free(d);
    tern_table_free(t);
    snprintf(path, sizeof path, "%s/tabular/digits.csv", data);
    t = tern_csv_load(path, (tern_csv_opts){.no_header = true});
    d = tern_table_dataset_new(t, "64", (tern_table_dataset_opts){0});
    REQUIRE(d && d->length == 1797 && d->x_shape.dim[0] == 64 && d->classes == 10);
    tern_dataset_free(d);
    tern_table_free(t);
}
