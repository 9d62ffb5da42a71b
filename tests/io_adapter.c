/* Adapters in PEFT's files. PEFT itself reads and writes them in tests/formats/gpt2.py. */
#include <stdio.h>
#include <string.h>

#include "common.h"
#include "tern/adapter.h"
#include "tern/archive.h"
#include "tern/layers.h"
#include "tern/reparametrize.h"

static tern_module *net_new(void) {
    return tern_sequential(tern_linear_new(6, 5, (tern_linear_opts){0}), tern_relu_new(),
                           tern_linear_new(5, 4, (tern_linear_opts){0}));
}

/* A net whose adapters do something. */
static tern_module *adapted_new(void) {
    tern_module *m = net_new();
    char name[200];
    tern_tensor *t;
    CHECK(tern_lora_attach(m, "*", (tern_lora_opts){.rank = 2, .alpha = 6, .dropout = 0.25}) == 2);
    for (int i = 0; (t = tern_lora_each(m, i, name, sizeof name)); i++) tern_init_normal(t, 0, 1);
    tern_module_train(m, false);
    return m;
}

TERN_TEST(io_adapter, there_and_back) {
    tern_module *m = adapted_new(), *other = net_new();
    tern_module_train(other, false);
    tern_tensor *x = test_random(TERN_SHAPE(3, 6), -1, 1, TERN_F32);
    const tern_adapter_opts opts = {.prefix = "body.", .base_model = "a/b", .task = "CAUSAL_LM"};
    REQUIRE(tern_adapter_save(test_path("a"), m, opts));
    tern_archive *a = tern_safetensors_load(test_path("a/adapter_model.safetensors"), (tern_safetensors_opts){0});
    CHECK(tern_archive_count(a) == 4 && tern_archive_find(a, "base_model.model.body.2.lora_B.weight"));
    tern_archive_free(a);
    CHECK(tern_archive_apply(NULL, m, (tern_archive_apply_opts){0}) == -1);
    EXPECT_PENDING(TERN_ERR_ARGUMENT, "archive");
    for (int again = 0; again < 2; again++) { /* the second time into adapters that are there */
        CHECK(tern_adapter_load(test_path("a"), other, opts));
        tern_lora_opts o;
        CHECK(tern_lora_settings(tern_module_child(other, "0"), &o) && o.rank == 2 && o.alpha == 6 &&
              o.dropout == 0.25);
    }
    const bool was = tern_grad_mode(false);
    for (int i = 0; i < 2; i++) { /* the base weights are not in the files */
        const char *const names[] = {"0.weight", "2.weight", "0.bias", "2.bias"};
        tern_copy_(tern_module_get(other, names[i]), tern_module_get(m, names[i]));
        tern_copy_(tern_module_get(other, names[2 + i]), tern_module_get(m, names[2 + i]));
    }
    CHECK_SAME(tern_forward(other, x), tern_forward(m, x), ((tolerance){0, 0}));
    tern_grad_mode(was);
    CHECK_OK();
    tern_module_free(m);
    tern_module_free(other);
}

static void write_config(const char *text) {
    FILE *f = fopen(test_path("a/adapter_config.json"), "wb");
    if (!f || fputs(text, f) < 0 || fclose(f) != 0) FAIL("cannot write the settings");
}

TERN_TEST(io_adapter, what_goes_wrong) {
    tern_module *m = adapted_new(), *plain = net_new(),
                *small = tern_sequential(tern_linear_new(6, 5, (tern_linear_opts){0}));
    EXPECT_ERROR(tern_adapter_save(test_path("a"), plain, (tern_adapter_opts){0}), TERN_ERR_ARGUMENT,
                 "none in the module");
    EXPECT_ERROR(tern_adapter_load(test_path("a"), plain, (tern_adapter_opts){0}), TERN_ERR_IO, "adapter_config.json");
    EXPECT_ERROR(tern_adapter_save("/proc/none/a", m, (tern_adapter_opts){0}), TERN_ERR_IO, "/proc/none");
    REQUIRE(tern_adapter_save(test_path("a"), m, (tern_adapter_opts){0}));
    EXPECT_ERROR(tern_adapter_load(test_path("a"), small, (tern_adapter_opts){0}), TERN_ERR_ARGUMENT, "2");
    EXPECT_ERROR(tern_adapter_load(test_path("a"), plain, (tern_adapter_opts){.prefix = "x."}), TERN_ERR_FORMAT,
                 "under x.");
    static const struct {
        const char *text, *want;
        tern_code code;
    } cases[] = {
        {"{", "not JSON", TERN_ERR_FORMAT},
        {"{\"peft_type\":\"IA3\"}", "not LORA", TERN_ERR_UNSUPPORTED},
        {"{\"peft_type\":\"LORA\",\"r\":0,\"lora_alpha\":1}", "sensible", TERN_ERR_FORMAT},
        {"{\"peft_type\":\"LORA\",\"r\":2,\"lora_alpha\":1,\"use_dora\":true}", "use_dora", TERN_ERR_UNSUPPORTED},
        {"{\"peft_type\":\"LORA\",\"r\":2,\"lora_alpha\":1,\"rank_pattern\":{\"a\":3}}", "rank_pattern",
         TERN_ERR_UNSUPPORTED},
        {"{\"peft_type\":\"LORA\",\"r\":2,\"lora_alpha\":1,\"bias\":\"all\"}", "bias", TERN_ERR_UNSUPPORTED},
        {"{\"peft_type\":\"LORA\",\"r\":2,\"lora_alpha\":1,\"init_lora_weights\":\"pissa_niter_4\"}", "pissa_niter_4",
         TERN_ERR_UNSUPPORTED},
        {"{\"peft_type\":\"LORA\",\"r\":2,\"lora_alpha\":1,\"init_lora_weights\":\"olora\"}", "olora",
         TERN_ERR_UNSUPPORTED},
        {"{\"peft_type\":\"LORA\",\"r\":2,\"lora_alpha\":1,\"alora_invocation_tokens\":[1]}", "alora_invocation_tokens",
         TERN_ERR_UNSUPPORTED},
        {"{\"peft_type\":\"LORA\",\"r\":3,\"lora_alpha\":1,\"init_lora_weights\":\"gaussian\"}", "expected [3, 6]",
         TERN_ERR_SHAPE},
        {"{\"peft_type\":\"LORA\",\"r\":2,\"lora_alpha\":1,\"lora_dropout\":1}", "lora_dropout", TERN_ERR_FORMAT},
        {"{\"peft_type\":\"LORA\",\"r\":3,\"lora_alpha\":1}", "expected [3, 6]", TERN_ERR_SHAPE}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_case("%s", cases[i].text);
        write_config(cases[i].text);
        EXPECT_ERROR(tern_adapter_load(test_path("a"), plain, (tern_adapter_opts){0}), cases[i].code, cases[i].want);
        CHECK(!tern_lora_each(plain, 0, NULL, 0), "an adapter was left behind");
    }
    check_case("%s", "a weight that is computed");
    write_config("{\"peft_type\":\"LORA\",\"r\":3,\"lora_alpha\":1}");
    CHECK(tern_weight_norm(tern_module_child(plain, "0"), "weight", 0));
    EXPECT_ERROR(tern_adapter_load(test_path("a"), plain, (tern_adapter_opts){0}), TERN_ERR_SHAPE, "expected [3, 6]");
    CHECK(!tern_lora_each(plain, 0, NULL, 0), "an adapter was left behind");
    check_case("%s", "");
    write_config("{\"peft_type\":\"LORA\",\"r\":2,\"lora_alpha\":5}");
    EXPECT_ERROR(tern_adapter_load(test_path("a"), m, (tern_adapter_opts){0}), TERN_ERR_ARGUMENT, "other settings");
    tern_module_free(m);
    tern_module_free(plain);
    tern_module_free(small);
}

/* Files whose tensors are not those of whole adapters leave the module as it was. */
TERN_TEST(io_adapter, half_of_an_adapter) {
    static const struct {
        const char *remove, *add, *want;
        tern_code code;
    } cases[] = {{"base_model.model.2.lora_B.weight", NULL, "no base_model.model.2.lora_B.weight", TERN_ERR_FORMAT},
                 {"base_model.model.0.lora_A.weight", NULL, "no base_model.model.0.lora_A.weight", TERN_ERR_FORMAT},
                 {NULL, "base_model.model.0.lora_magnitude_vector", "no adapter's tensor", TERN_ERR_FORMAT},
                 {NULL, "base_model.model.1.lora_A.weight", "is a relu, no linear", TERN_ERR_ARGUMENT},
                 {NULL, "base_model.model.5.lora_A.weight", "5", TERN_ERR_ARGUMENT}};
    tern_module *m = adapted_new(), *plain = net_new();
    tern_tensor *more = tern_ones(TERN_SHAPE(2, 6), (tern_options){0});
    REQUIRE(tern_adapter_save(test_path("a"), m, (tern_adapter_opts){0}));
    char path[512], pickle[512];
    snprintf(path, sizeof path, "%s", test_path("a/adapter_model.safetensors"));
    snprintf(pickle, sizeof pickle, "%s", test_path("a/adapter_model.bin"));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_case("%zu", i);
        tern_archive *a = tern_safetensors_load(path, (tern_safetensors_opts){.copy = true});
        tern_archive *b = tern_archive_new();
        tern_archive_entry e;
        for (int64_t k = 0; tern_archive_each(a, k, &e); k++)
            if (!cases[i].remove || strcmp(e.name, cases[i].remove) != 0) CHECK(tern_archive_put(b, e.name, e.tensor));
        if (cases[i].add) CHECK(tern_archive_put(b, cases[i].add, more));
        CHECK(tern_safetensors_save(path, b, (tern_safetensors_opts){0}));
        EXPECT_ERROR(tern_adapter_load(test_path("a"), plain, (tern_adapter_opts){0}), cases[i].code, cases[i].want);
        CHECK(!tern_lora_each(plain, 0, NULL, 0), "an adapter was left behind");
        CHECK(tern_safetensors_save(path, a, (tern_safetensors_opts){0}));
        tern_archive_free(a);
        tern_archive_free(b);
    }
    CHECK(rename(path, pickle) == 0);
    EXPECT_ERROR(tern_adapter_load(test_path("a"), plain, (tern_adapter_opts){0}), TERN_ERR_UNSUPPORTED,
                 "safe_serialization");
    tern_module_free(m);
    tern_module_free(plain);
}

/* A merged adapter is in the weight: loading another takes it out first. */
TERN_TEST(io_adapter, into_a_merged_adapter) {
    tern_module *m = adapted_new(), *other = adapted_new();
    tern_tensor *x = test_random(TERN_SHAPE(3, 6), -1, 1, TERN_F32);
    const bool was = tern_grad_mode(false);
    static const char *const names[] = {"0.weight", "2.weight", "0.bias", "2.bias"};
    for (int i = 0; i < 4; i++) tern_copy_(tern_module_get(other, names[i]), tern_module_get(m, names[i]));
    REQUIRE(tern_adapter_save(test_path("a"), m, (tern_adapter_opts){0}));
    CHECK(tern_lora_merge(other));
    CHECK(tern_adapter_load(test_path("a"), other, (tern_adapter_opts){0}));
    CHECK_SAME(tern_forward(other, x), tern_forward(m, x), ((tolerance){1e-5, 1e-5}));
    tern_grad_mode(was);
    CHECK_OK();
    tern_module_free(m);
    tern_module_free(other);
}
