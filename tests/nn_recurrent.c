/* Recurrent modules: what they refuse, how they start, and that they copy. */
#include "tern/recurrent.h"

#include "common.h"
#include "tern/functional.h"
#include "tern/layers.h"

TERN_TEST(nn_recurrent, refuses) {
    EXPECT_ERROR(tern_rnn_new(0, 2, (tern_recurrent_opts){0}), TERN_ERR_ARGUMENT, "rnn: 0 -> 2");
    EXPECT_ERROR(tern_gru_new(2, 2, (tern_recurrent_opts){.layers = -1}), TERN_ERR_ARGUMENT, "gru: -1 layers");
    EXPECT_ERROR(tern_lstm_new(2, 2, (tern_recurrent_opts){.dropout = 2}), TERN_ERR_ARGUMENT, "lstm: dropout is 2");
    EXPECT_ERROR(tern_lstm_new(2, 2, (tern_recurrent_opts){.relu = true}), TERN_ERR_ARGUMENT, "lstm: relu");
    EXPECT_ERROR(tern_lstm_new(2, INT64_MAX / 2, (tern_recurrent_opts){0}), TERN_ERR_ARGUMENT, "sizes from 1");
    EXPECT_ERROR(tern_lstm_new(2, 3, (tern_recurrent_opts){.proj_size = 3}), TERN_ERR_ARGUMENT, "proj_size 3; 0 to 2");
    EXPECT_ERROR(tern_lstm_new(2, 3, (tern_recurrent_opts){.proj_size = -1}), TERN_ERR_ARGUMENT, "proj_size -1");
    EXPECT_ERROR(tern_gru_new(2, 3, (tern_recurrent_opts){.proj_size = 2}), TERN_ERR_ARGUMENT, "for lstm alone");
    EXPECT_ERROR(tern_rnn_cell_new(2, -1, (tern_cell_opts){0}), TERN_ERR_ARGUMENT, "rnn_cell: 2 -> -1");
    EXPECT_ERROR(tern_gru_cell_new(2, 2, (tern_cell_opts){.relu = true}), TERN_ERR_ARGUMENT, "gru_cell: relu");
    EXPECT_ERROR(tern_lstm_cell_new(0, 2, (tern_cell_opts){0}), TERN_ERR_ARGUMENT, "lstm_cell: 0 -> 2");
    tern_module *lstm = tern_lstm_new(3, 2, (tern_recurrent_opts){0}),
                *cell = tern_gru_cell_new(3, 2, (tern_cell_opts){0});
    tern_tensor *x = tern_zeros(TERN_SHAPE(4, 2, 3), (tern_options){0}), *h = x, *c = x;
    EXPECT_ERROR(tern_rnn_forward(lstm, x, NULL, NULL, &h), TERN_ERR_ARGUMENT, "rnn_forward: it is not for lstm");
    CHECK(h == NULL);
    EXPECT_ERROR(tern_lstm_cell_forward(cell, x, NULL, NULL, &c), TERN_ERR_ARGUMENT, "it is not for gru_cell");
    CHECK(c == NULL);
    EXPECT_ERROR(tern_rnn_cell_forward(lstm, x, NULL), TERN_ERR_ARGUMENT, "rnn_cell_forward: it is not for lstm");
    EXPECT_ERROR(tern_lstm_forward(NULL, x, NULL, NULL, NULL, NULL, NULL), TERN_ERR_ARGUMENT, "m is NULL");
    EXPECT_ERROR(tern_lstm_forward(lstm, NULL, NULL, NULL, NULL, NULL, NULL), TERN_ERR_ARGUMENT, "x is NULL");
    EXPECT_ERROR(tern_lstm_forward(lstm, x, x, NULL, NULL, NULL, NULL), TERN_ERR_SHAPE, "lstm: state [4, 2, 3]");
    EXPECT_ERROR(tern_lstm_forward(lstm, x, NULL, NULL, (const int64_t[]){1, 5}, NULL, NULL), TERN_ERR_ARGUMENT,
                 "length 5");
    EXPECT_ERROR(tern_forward(lstm, tern_zeros(TERN_SHAPE(4, 3), (tern_options){0})), TERN_ERR_SHAPE, "lstm");
    tern_module_free(lstm);
    tern_module_free(cell);
}

TERN_TEST(nn_recurrent, starts_as_pytorch) {
    tern_module *const all[] = {tern_rnn_new(30, 25, (tern_recurrent_opts){.layers = 2}),
                                tern_lstm_new(30, 25, (tern_recurrent_opts){.bidirectional = true}),
                                tern_gru_cell_new(30, 25, (tern_cell_opts){0})};
    const bool was = tern_grad_mode(false);
    for (int i = 0; i < 3; i++) {
        tern_named e;
        for (int k = 0; tern_module_each(all[i], k, &e); k++) {
            check_case("%s %s", all[i]->type, e.name);
            const double top = tern_item(tern_max(tern_abs(e.tensor), NULL, 0, false));
            CHECK(top <= 0.2 && top > 0.17, "%g", top);
            if (tern_ndim(e.tensor) == 2) CHECK_ITEM(tern_std(e.tensor, NULL, 0, false, 1), 0.2 / sqrt(3), 0.01);
        }
        tern_module_free(all[i]);
    }
    tern_grad_mode(was);
}

/* The array of weights behind the struct is redirected too; dropout between layers works in training alone. */
TERN_TEST(nn_recurrent, clone_and_dropout) {
    tern_module *m = tern_lstm_new(3, 4, (tern_recurrent_opts){.layers = 2, .dropout = 0.5});
    tern_tensor *x = tern_randn(TERN_SHAPE(5, 2, 3), 0, 1, (tern_options){0});
    tern_module_train(m, false);
    tern_tensor *y = tern_forward(m, x);
    tern_module *copy = tern_module_clone(m);
    tern_init_zeros(tern_module_get(m, "weight_ih_l1"));
    const tolerance exact = {0, 0};
    CHECK_SAME(tern_forward(copy, x), y, exact);
    tern_module_train(copy, true);
    tern_tensor *a = tern_forward(copy, x), *b = tern_forward(copy, x);
    CHECK(tern_item(tern_max(tern_abs(tern_sub(a, b)), NULL, 0, false)) > 1e-3);
    tern_module_free(m);
    tern_module_free(copy);
}

TERN_TEST(nn_recurrent, summary) {
    tern_module *m = tern_sequential(tern_gru_new(3, 4, (tern_recurrent_opts){.layers = 2, .batch_first = true}), NULL);
    char buf[2000];
    tern_module_summary(m, &(tern_shape){3, {2, 5, 3}}, buf, sizeof buf);
    CHECK(strstr(buf, "3 -> 4, layers 2, batch first") && strstr(buf, "[2, 5, 4]"), "%s", buf);
    CHECK(strstr(buf, "3,600"), "%s", buf); /* 2 x (12 x 3 + 3 x 12 x 4) multiplications for 10 steps */
    tern_module_free(m);
}

/* The op with projected states: what it refuses; f16 beside f32; derivatives of second order. */
static tern_tensor *projected(tern_tensor *const *in, int n, void *user) {
    (void)user;
    tern_tensor *hn = NULL, *cn = NULL, *w[5] = {in[3], in[4], in[5], NULL, in[6]};
    tern_tensor *y = n == 7 ? tern_lstm(in[0], in[1], in[2], w, 5, (tern_rnn_opts){.proj_size = 2}, &hn, &cn) : NULL;
    return y ? tern_add(tern_sum(tern_square(y), NULL, 0, false), tern_sum(tern_mul(cn, cn), NULL, 0, false)) : NULL;
}
static int inputs_of(tern_tensor **in, tern_dtype dtype) {
    const tern_shape shapes[] = {TERN_SHAPE(3, 2, 2), TERN_SHAPE(1, 2, 2), TERN_SHAPE(1, 2, 3), TERN_SHAPE(12, 2),
                                 TERN_SHAPE(12, 2),   TERN_SHAPE(12),      TERN_SHAPE(2, 3)};
    for (int i = 0; i < 7; i++) in[i] = tern_require_grad(test_random(shapes[i], -0.5, 0.5, dtype), true);
    return 7;
}
TERN_TEST(nn_recurrent, projected_op) {
    tern_tensor *in[7];
    const int n = inputs_of(in, TERN_F64);
    CHECK(tern_gradcheck(projected, in, n, NULL, (tern_gradcheck_opts){0}), "%s", tern_error_message());
    CHECK(tern_gradgradcheck(projected, in, n, NULL, (tern_gradcheck_opts){0}), "%s", tern_error_message());
    tern_tensor *w[5] = {in[3], in[4], in[5], NULL, in[6]}, *half[5], *y, *z;
    const tern_rnn_opts o = {.proj_size = 2};
    y = tern_lstm(in[0], in[1], in[2], w, 5, o, NULL, NULL);
    for (int i = 0; i < 5; i++) half[i] = w[i] ? tern_cast(w[i], TERN_F16) : NULL;
    z = tern_lstm(tern_cast(in[0], TERN_F16), tern_cast(in[1], TERN_F16), tern_cast(in[2], TERN_F16), half, 5, o, NULL,
                  NULL);
    CHECK(z && tern_dtype_of(z) == TERN_F16);
    CHECK_SAME(tern_cast(z, TERN_F64), y, ((tolerance){1e-2, 1e-2}));
    EXPECT_ERROR(tern_lstm(in[0], NULL, NULL, w, 4, o, NULL, NULL), TERN_ERR_ARGUMENT, "expected 5 weights");
    EXPECT_ERROR(tern_lstm(in[0], NULL, NULL, w, 5, (tern_rnn_opts){0}, NULL, NULL), TERN_ERR_ARGUMENT, "expected 4");
    EXPECT_ERROR(tern_gru(in[0], NULL, w, 5, o, NULL), TERN_ERR_ARGUMENT, "proj_size 2");
    EXPECT_ERROR(tern_lstm(in[0], NULL, NULL, w, 5, (tern_rnn_opts){.proj_size = -2}, NULL, NULL), TERN_ERR_ARGUMENT,
                 "proj_size -2");
    EXPECT_ERROR(tern_lstm(in[0], in[2], NULL, w, 5, o, NULL, NULL), TERN_ERR_SHAPE, "state");
    w[4] = in[5];
    EXPECT_ERROR(tern_lstm(in[0], NULL, NULL, w, 5, o, NULL, NULL), TERN_ERR_SHAPE, "weights[4]");
    w[4] = NULL;
    EXPECT_ERROR(tern_lstm(in[0], NULL, NULL, w, 5, o, NULL, NULL), TERN_ERR_ARGUMENT, "weights is NULL");
}
