/* Byte-pair encoding: GPT-2's own numbers (TERN_DATA), learned vocabularies, files that are wrong. */
#include "common.h"
#include "tern/tokenizer.h"

static const char *write_file(const char *name, const char *text) {
    const char *path = test_path(name);
    FILE *f = fopen(path, "wb");
    if (!f || fputs(text, f) < 0 || fclose(f) != 0) FAIL("cannot write %s", path);
    return path;
}

static void check_back(const tern_tokenizer *k, const char *text, size_t n, const int32_t *ids, int64_t count) {
    static char buf[4096];
    CHECK(tern_tokenizer_decode(k, ids, count, buf, sizeof buf) == (int64_t)n);
    CHECK(memcmp(buf, text, n) == 0 && buf[n] == 0);
}

/* The numbers are those of OpenAI's encoder.py, as Hugging Face's tokenizers 0.23.3 gives them. */
TERN_TEST(io_tokenizer, gpt2) {
    const char *data = test_data_dir();
    if (!data) return;
    char vocab[500], merges[500];
    snprintf(vocab, sizeof vocab, "%s/gpt2/vocab.json", data);
    snprintf(merges, sizeof merges, "%s/gpt2/merges.txt", data);
    tern_tokenizer *k = tern_tokenizer_load(vocab, merges);
    REQUIRE(CHECK_OK());
    CHECK(tern_tokenizer_size(k) == 50257 && tern_tokenizer_id(k, "<|endoftext|>") == 50256);
    static const struct {
        const char *text;
        int32_t ids[24];
        int n;
    } cases[] = {{"Hello, world!", {15496, 11, 995, 0}, 4},
                 {"GPT-2 isn't   fooled by  spaces\n\n and\ttabs ",
                  {38, 11571, 12, 17, 2125, 470, 220, 220, 35820, 416, 220, 9029, 628, 290, 197, 8658, 82, 220},
                  18},
                 {"na\xc3\xafve \xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e \xf0\x9f\x98\x80",
                  {2616, 38776, 10545, 245, 98, 17312, 105, 45739, 252, 30325, 222},
                  11},
                 {"", {0}, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_case("%s", cases[i].text);
        const size_t n = strlen(cases[i].text);
        int32_t ids[64];
        const int64_t count = tern_tokenizer_encode(k, cases[i].text, n, (tern_encode_opts){0}, ids, 64);
        CHECK(count == cases[i].n, "%lld numbers", (long long)count);
        for (int j = 0; j < cases[i].n && j < count; j++)
            CHECK(ids[j] == cases[i].ids[j], "number %d is %d", j, ids[j]);
        check_back(k, cases[i].text, n, ids, count);
    }
    check_case("%s", "");
    const char *special = "a<|endoftext|>b";
    int32_t ids[32];
    CHECK(tern_tokenizer_encode(k, special, strlen(special), (tern_encode_opts){.special = true}, ids, 32) == 3);
    CHECK(ids[0] == 64 && ids[1] == 50256 && ids[2] == 65);
    CHECK(tern_tokenizer_encode(k, special, strlen(special), (tern_encode_opts){0}, ids, 32) > 3);
    tern_tensor *t = tern_tokenizer_encode_tensor(k, "Hello, world!", 13, (tern_encode_opts){0});
    CHECK_VALUES(t, 15496, 11, 995, 0);
    /* All that bytes can be; and a word that is as long as the text. */
    static char all[4000];
    for (int i = 0; i < 4000; i++) all[i] = (char)(i < 2000 ? i * 7 + i / 256 : 'a');
    static int32_t many[4000];
    const int64_t count = tern_tokenizer_encode(k, all, sizeof all, (tern_encode_opts){0}, many, 4000);
    CHECK(count > 100);
    static char back[4001];
    CHECK(tern_tokenizer_decode(k, many, count, back, sizeof back) == 4000 && memcmp(back, all, 4000) == 0);
    tern_tokenizer_free(k);
}

static const char corpus[] =
    "low low low low low lower lower newest newest newest newest newest newest widest widest widest";

TERN_TEST(io_tokenizer, learns) {
    tern_tokenizer *k =
        tern_tokenizer_train(corpus, sizeof corpus - 1, 267,
                             (tern_tokenizer_opts){.special = (const char *const[]){"<|end|>"}, .n_special = 1});
    REQUIRE(CHECK_OK());
    CHECK(tern_tokenizer_size(k) == 267 && tern_tokenizer_id(k, "<|end|>") == 0);
    /* "es" and "st" come 9 times, "ne", "ew", "we" 6 times, "low" 7 times... */
    CHECK(tern_tokenizer_id(k, "est") > 0 && tern_tokenizer_id(k, "lo") > 0 && tern_tokenizer_id(k, "zz") == -1);
    REQUIRE(tern_tokenizer_save(k, test_path("v.json"), test_path("m.txt")));
    tern_tokenizer *again = tern_tokenizer_load(test_path("v.json"), test_path("m.txt"));
    REQUIRE(CHECK_OK());
    CHECK(tern_tokenizer_size(again) == 267);
    const char *text = "the newest lowest<|end|> \xc3\xa9";
    int32_t a[64], b[64];
    for (int special = 0; special < 2; special++) {
        const int64_t n = tern_tokenizer_encode(k, text, strlen(text), (tern_encode_opts){special}, a, 64),
                      m = tern_tokenizer_encode(again, text, strlen(text), (tern_encode_opts){special}, b, 64);
        CHECK(n == m && n > 0 && memcmp(a, b, (size_t)n * sizeof *a) == 0);
        check_back(k, text, strlen(text), a, n);
        CHECK(tern_tokenizer_encode(k, text, strlen(text), (tern_encode_opts){special}, b, 2) == n);
        CHECK(b[0] == a[0] && b[1] == a[1]);
    }
    tern_tokenizer_free(k);
    tern_tokenizer_free(again);
    k = tern_tokenizer_train("", 0, 300, (tern_tokenizer_opts){0});
    CHECK(tern_tokenizer_size(k) == 256);
    tern_tokenizer_free(k);
}

TERN_TEST(io_tokenizer, what_goes_wrong) {
    static const struct {
        const char *vocab, *merges, *text;
        tern_code code;
    } cases[] = {{"{", "", "not JSON", TERN_ERR_FORMAT},
                 {"[]", "", "no object", TERN_ERR_FORMAT},
                 {"{\"a\":0,\"b\":0}", "", "two tokens", TERN_ERR_FORMAT},
                 {"{\"a\":-1}", "", "number of a", TERN_ERR_FORMAT},
                 {"{\"a\":1000000000}", "", "number of a", TERN_ERR_FORMAT},
                 {"{\"a\":1000000}", "", "up to 1000000", TERN_ERR_FORMAT},
                 {"{\"\":0}", "", "empty", TERN_ERR_FORMAT},
                 {"{\"a\":0,\"b\":1}", "#version: 0.2\na b\n", "line 2 merges what", TERN_ERR_FORMAT},
                 {"{\"a\":0,\"b\":1,\"ab\":2}", "ab\n", "line 1 is no pair", TERN_ERR_FORMAT}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_case("%s, %s", cases[i].vocab, cases[i].merges);
        EXPECT_ERROR(tern_tokenizer_load(write_file("v", cases[i].vocab), write_file("m", cases[i].merges)),
                     cases[i].code, cases[i].text);
    }
    check_case("%s", "");
    EXPECT_ERROR(tern_tokenizer_load(test_path("none"), test_path("m")), TERN_ERR_IO, "none");
    tern_tokenizer *k = tern_tokenizer_load(write_file("v", "{\"a\":0,\"b\":1,\"ab\":2,\"\xe2\x82\xac\":5}"),
                                            write_file("m", "a b\r\n"));
    REQUIRE(CHECK_OK());
    int32_t ids[8];
    CHECK(tern_tokenizer_encode(k, "abba", 4, (tern_encode_opts){0}, ids, 8) == 3 && ids[0] == 2 && ids[2] == 0);
    CHECK(tern_tokenizer_encode(k, "\xe2\x82\xac", 3, (tern_encode_opts){.special = true}, ids, 8) == 1 && ids[0] == 5);
    CHECK(tern_tokenizer_encode(k, "c", 1, (tern_encode_opts){0}, ids, 8) == -1);
    EXPECT_PENDING(TERN_ERR_UNSUPPORTED, "byte 99");
    CHECK(tern_tokenizer_decode(k, (int32_t[]){0, 3}, 2, NULL, 0) == -1);
    EXPECT_PENDING(TERN_ERR_INDEX, "number 3");
    char buf[2];
    CHECK(tern_tokenizer_decode(k, (int32_t[]){2, 2}, 2, buf, 2) == 4 && buf[0] == 'a' && buf[1] == 0);
    EXPECT_ERROR(tern_tokenizer_save(k, "/none/v", "/none/m"), TERN_ERR_IO, "/none/v");
    tern_tokenizer_free(k);
    EXPECT_ERROR(tern_tokenizer_train("a", 1, 255, (tern_tokenizer_opts){0}), TERN_ERR_ARGUMENT, "255");
    for (int64_t n = 1;; n++) { /* without memory */
        tern_memory_fail_at(n);
        k = tern_tokenizer_train(corpus, sizeof corpus - 1, 270, (tern_tokenizer_opts){0});
        const bool fine = k && tern_tokenizer_save(k, test_path("v.json"), test_path("m.txt"));
        tern_tokenizer *again = fine ? tern_tokenizer_load(test_path("v.json"), test_path("m.txt")) : NULL;
        const bool ok =
            again && tern_tokenizer_encode(again, corpus, sizeof corpus - 1, (tern_encode_opts){0}, NULL, 0) > 0;
        const bool reached = tern_memory_requests() >= n;
        tern_memory_fail_at(0);
        tern_tokenizer_free(k);
        tern_tokenizer_free(again);
        if (!reached) {
            CHECK(ok);
            break;
        }
        if (!ok) EXPECT_PENDING(TERN_ERR_MEMORY, "");
        tern_error_clear();
    }
}
