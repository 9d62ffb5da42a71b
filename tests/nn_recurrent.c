/* Recurrent modules: what they refuse, how they start, and that they copy. */
#include "tern/recurrent.h"

#include "common.h"
#include "tern/layers.h"

TERN_TEST(nn_recurrent, refuses) {
    EXPECT_ERROR(tern_rnn_new(0, 2, (tern_recurrent_opts){0}), TERN_ERR_ARGUMENT, "rnn: 0 -> 2");
    EXPECT_ERROR(tern_gru_new(2, 2, (tern_recurrent_opts){.layers = -1}), TERN_ERR_ARGUMENT, "gru: -1 layers");
    EXPECT_ERROR(tern_lstm_new(2, 2, (tern_recurrent_opts){.dropout = 2}), TERN_ERR_ARGUMENT, "lstm: dropout is 2");
    EXPECT_ERROR(tern_lstm_new(2, 2, (tern_recurrent_opts){.relu = true}), TERN_ERR_ARGUMENT, "lstm: relu");
    EXPECT_ERROR(tern_lstm_new(2, INT64_MAX / 2, (tern_recurrent_opts){0}), TERN_ERR_ARGUMENT, "sizes from 1");
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
