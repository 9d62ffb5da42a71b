/* Attention and transformer modules: what they refuse, how they start, masks, counts. */
#include "tern/transformer.h"

#include "common.h"
#include "tern/layers.h"

static const tern_attend_opts all_seen;
static tern_tensor *noise(int64_t a, int64_t b, int64_t c) {
    return tern_randn(TERN_SHAPE(a, b, c), 0, 1, (tern_options){0});
}
static tern_module *attention(tern_multihead_attention_opts o) { return tern_multihead_attention_new(8, 2, o); }
static tern_module *layer(tern_transformer_opts o) { return tern_transformer_encoder_layer_new(8, 2, o); }
static tern_module *decoder_layer(void) {
    return tern_transformer_decoder_layer_new(8, 2, (tern_transformer_opts){.ff = 4});
}

TERN_TEST(nn_transformer, refuses) {
    EXPECT_ERROR(tern_multihead_attention_new(8, 3, (tern_multihead_attention_opts){0}), TERN_ERR_ARGUMENT,
                 "3 heads do not divide 8");
    EXPECT_ERROR(tern_multihead_attention_new(0, 1, (tern_multihead_attention_opts){0}), TERN_ERR_ARGUMENT, "heads");
    EXPECT_ERROR(attention((tern_multihead_attention_opts){.kv_heads = 3}), TERN_ERR_ARGUMENT, "3 kv_heads");
    EXPECT_ERROR(attention((tern_multihead_attention_opts){.kdim = -1}), TERN_ERR_ARGUMENT, "kdim -1");
    EXPECT_ERROR(attention((tern_multihead_attention_opts){.dropout = 2}), TERN_ERR_ARGUMENT, "dropout is 2");
    EXPECT_ERROR(tern_multihead_attention_new(6, 2, (tern_multihead_attention_opts){.rotary = true}), TERN_ERR_ARGUMENT,
                 "rotary with heads of 3");
    EXPECT_ERROR(layer((tern_transformer_opts){.ff = -1}), TERN_ERR_ARGUMENT, "ff -1");
    EXPECT_ERROR(layer((tern_transformer_opts){.dropout = -1}), TERN_ERR_ARGUMENT, "dropout is -1");
    EXPECT_ERROR(tern_transformer_decoder_layer_new(8, 3, (tern_transformer_opts){0}), TERN_ERR_ARGUMENT, "heads");
    /* What was handed over is freed: check_end would see the leak. */
    EXPECT_ERROR(tern_transformer_encoder_new(NULL, 2, tern_relu_new()), TERN_ERR_ARGUMENT, "layer is NULL");
    EXPECT_ERROR(tern_transformer_encoder_new(layer((tern_transformer_opts){.ff = 4}), 0, NULL), TERN_ERR_ARGUMENT,
                 "0 layers");
    EXPECT_ERROR(tern_transformer_encoder_new(decoder_layer(), 2, tern_relu_new()), TERN_ERR_ARGUMENT,
                 "transformer_decoder_layer is no layer for it");
    EXPECT_ERROR(tern_transformer_decoder_new(tern_relu_new(), 2, NULL), TERN_ERR_ARGUMENT, "relu is no layer for it");
    EXPECT_ERROR(tern_transformer_new(8, 2, 1, 0, (tern_transformer_opts){.ff = 4}), TERN_ERR_ARGUMENT, "0 layers");
    EXPECT_ERROR(tern_sinusoidal_positions_new(3, (tern_positions_opts){0}), TERN_ERR_ARGUMENT, "even");
    EXPECT_ERROR(tern_rotary_positions_new(4, (tern_positions_opts){.base = -1}), TERN_ERR_ARGUMENT, "base is -1");
    EXPECT_ERROR(tern_learned_positions_new(0, 4, (tern_positions_opts){0}), TERN_ERR_ARGUMENT, "length 0");
    EXPECT_ERROR(tern_learned_positions_new(4, 0, (tern_positions_opts){0}), TERN_ERR_ARGUMENT, "0 dimensions");
}

TERN_TEST(nn_transformer, forward_functions_refuse) {
    tern_module *a = attention((tern_multihead_attention_opts){0}), *e = layer((tern_transformer_opts){.ff = 4});
    tern_module *d = decoder_layer(), *p = tern_learned_positions_new(4, 8, (tern_positions_opts){0});
    tern_tensor *x = noise(3, 2, 8), *y = noise(3, 2, 7);
    EXPECT_ERROR(tern_multihead_attention_forward(e, x, x, x, all_seen), TERN_ERR_ARGUMENT,
                 "is no multihead_attention");
    EXPECT_ERROR(tern_multihead_attention_forward(a, NULL, x, x, all_seen), TERN_ERR_ARGUMENT, "query is NULL");
    EXPECT_ERROR(tern_multihead_attention_forward(a, x, y, x, all_seen), TERN_ERR_SHAPE, "key [3, 2, 7]");
    EXPECT_ERROR(tern_multihead_attention_forward(a, x, x, tern_select(x, 0, 0), all_seen), TERN_ERR_SHAPE,
                 "value [2, 8]");
    EXPECT_ERROR(tern_multihead_attention_forward(a, x, NULL, NULL, (tern_attend_opts){.key_mask = x}), TERN_ERR_DTYPE,
                 "key_mask is f32");
    EXPECT_ERROR(tern_forward(a, y), TERN_ERR_SHAPE, "query [3, 2, 7]");
    EXPECT_ERROR(tern_transformer_encoder_forward(d, x, all_seen), TERN_ERR_ARGUMENT, "is no encoder");
    EXPECT_ERROR(tern_transformer_encoder_forward(a, x, all_seen), TERN_ERR_ARGUMENT, "is no encoder");
    EXPECT_ERROR(tern_transformer_decoder_forward(e, x, x, all_seen, all_seen), TERN_ERR_ARGUMENT, "is no decoder");
    EXPECT_ERROR(tern_transformer_decoder_forward(d, x, NULL, all_seen, all_seen), TERN_ERR_ARGUMENT, "memory is NULL");
    EXPECT_ERROR(tern_transformer_forward(d, x, x, all_seen, all_seen, all_seen), TERN_ERR_ARGUMENT,
                 "is no transformer");
    EXPECT_ERROR(tern_forward(d, x), TERN_ERR_UNSUPPORTED, "has no forward");
    EXPECT_ERROR(tern_positions_forward(p, x, 2), TERN_ERR_SHAPE, "3 positions from 2; there are 4");
    EXPECT_ERROR(tern_positions_forward(p, x, -1), TERN_ERR_ARGUMENT, "first is -1");
    EXPECT_ERROR(tern_positions_forward(a, x, 0), TERN_ERR_ARGUMENT, "has no positions");
    EXPECT_ERROR(tern_forward(p, y), TERN_ERR_SHAPE, "learned_positions: x [3, 2, 7]");
    tern_module *const all[] = {a, e, d, p};
    for (int i = 0; i < 4; i++) tern_module_free(all[i]);
}

/* A query that sees nothing gives the bias; padding keys, masked or cut off, make no difference. */
TERN_TEST(nn_transformer, masks) {
    tern_module *m = attention((tern_multihead_attention_opts){.batch_first = true});
    tern_tensor *q = noise(2, 3, 8), *k = noise(2, 4, 8), *short_k = tern_narrow(k, 1, 0, 3);
    tern_tensor *keys = test_values(TERN_BOOL, TERN_SHAPE(2, 4), 1, 1, 1, 0, 1, 1, 1, 0);
    tern_tensor *none = tern_zeros(TERN_SHAPE(3, 4), (tern_options){TERN_BOOL, tern_cpu()});
    tern_tensor *bias = tern_rand(TERN_SHAPE(8), 0, 1, (tern_options){0});
    tern_grad_mode(false);
    tern_copy_(tern_module_get(m, "out_proj.bias"), bias);
    tern_tensor *y = tern_multihead_attention_forward(m, q, k, NULL, (tern_attend_opts){.key_mask = keys});
    CHECK_SAME(y, tern_multihead_attention_forward(m, q, short_k, NULL, all_seen), tolerance_of(TERN_F32));
    y = tern_multihead_attention_forward(m, q, k, NULL, (tern_attend_opts){.mask = none});
    CHECK_SAME(y, tern_expand(bias, TERN_SHAPE(2, 3, 8)), tolerance_of(TERN_F32));
    /* Without N. */
    y = tern_multihead_attention_forward(m, tern_select(q, 0, 1), tern_select(k, 0, 1), NULL,
                                         (tern_attend_opts){.key_mask = tern_select(keys, 0, 1)});
    tern_tensor *whole = tern_multihead_attention_forward(m, q, k, NULL, (tern_attend_opts){.key_mask = keys});
    CHECK_SAME(y, tern_select(whole, 0, 1), tolerance_of(TERN_F32));
    tern_grad_mode(true);
    tern_module_free(m);
}

TERN_TEST(nn_transformer, starts_as_pytorch) {
    tern_module *m = tern_multihead_attention_new(60, 2, (tern_multihead_attention_opts){0});
    tern_module *t = tern_transformer_new(32, 2, 2, 1, (tern_transformer_opts){.ff = 48});
    const bool was = tern_grad_mode(false);
    tern_tensor *w = tern_module_get(m, "in_proj_weight"), *o = tern_module_get(m, "out_proj.weight");
    CHECK_ITEM(tern_max(tern_abs(w), NULL, 0, false), sqrt(6.0 / 240), 1e-3);
    CHECK_ITEM(tern_std(w, NULL, 0, false, 1), sqrt(6.0 / 240 / 3), 3e-3);
    CHECK_ITEM(tern_max(tern_abs(o), NULL, 0, false), 1 / sqrt(60), 1e-3);
    CHECK_ITEM(tern_max(tern_abs(tern_module_get(m, "in_proj_bias")), NULL, 0, false), 0, 0);
    CHECK_ITEM(tern_max(tern_abs(tern_module_get(m, "out_proj.bias")), NULL, 0, false), 0, 0);
    CHECK_ITEM(tern_max(tern_abs(tern_module_get(t, "decoder.layers.0.linear1.weight")), NULL, 0, false),
               sqrt(6.0 / 80), 5e-3);
    /* All of an encoder's layers start alike in PyTorch; Transformer draws them anew. */
    tern_tensor *d = tern_sub(tern_module_get(t, "encoder.layers.0.linear1.weight"),
                              tern_module_get(t, "encoder.layers.1.linear1.weight"));
    CHECK(tern_item(tern_max(tern_abs(d), NULL, 0, false)) > 0.1);
    tern_grad_mode(was);
    tern_module_free(m);
    tern_module_free(t);
}

TERN_TEST(nn_transformer, dropout_in_training) {
    tern_module *m = layer((tern_transformer_opts){.ff = 4, .dropout = 0.5});
    tern_tensor *x = noise(3, 2, 8);
    tern_tensor *a = tern_forward(m, x), *b = tern_forward(m, x);
    CHECK(tern_item(tern_max(tern_abs(tern_sub(a, b)), NULL, 0, false)) > 1e-2);
    tern_module_train(m, false);
    a = tern_forward(m, x);
    const tolerance exact = {0, 0};
    CHECK_SAME(tern_forward(m, x), a, exact);
    tern_module_free(m);
}

/* Self-attention of 5 positions, 2 samples: 3 x 8 x 8 and 8 x 8 weights, scores and sums of 2 heads of 4. */
TERN_TEST(nn_transformer, summary) {
    tern_module *m = tern_sequential(attention((tern_multihead_attention_opts){.causal = true}), NULL);
    char buf[2000];
    tern_module_summary(m, &(tern_shape){3, {5, 2, 8}}, buf, sizeof buf);
    CHECK(strstr(buf, "8, heads 2, causal") && strstr(buf, "0.out_proj"), "%s", buf);
    CHECK(strstr(buf, "  6,720\n"), "%s", buf); /* 2 (10 x 192 + 10 x 64 + 2 x 2 x 2 x 5 x 5 x 4) */
    tern_module_free(m);
}
