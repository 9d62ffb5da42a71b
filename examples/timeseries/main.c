/* Forecasts a series with an LSTM or a transformer, and compares with forecasts that cost nothing. README.md tells how.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../common/epochs.h"
#include "forecast.h"
#include "model.h"

enum { LOSS, VALIDATION };
enum { HORIZON_MOST = 1024 };

static struct {
    const char *model, *column, *forecast, *future;
    int64_t length, context, horizon, period, width, layers, heads, patch;
    double dropout;
} set = {.model = "lstm",
         .forecast = "timeseries_forecast.svg",
         .length = 3000,
         .context = 72,
         .horizon = 24,
         .period = 24,
         .width = 64,
         .layers = 1,
         .heads = 4,
         .patch = 8};

static series data;

/* ---- what comes out ---------------------------------------------------------------------------------------------- */

/* The last window of the series: its context, what came, and what was forecast. */
static bool draw(trainer *t) {
    static plot p = {.title = "timeseries: the last window", .x_title = "time", .y_title = "value"};
    double out[HORIZON_MOST];
    const int64_t origin = data.n - set.horizon;
    if (!forecast_network(t->model, &data, origin, set.context, set.horizon, t->device, out)) return false;
    for (int64_t i = origin - set.context; i < data.n; i++) plot_add(&p, "truth", (double)i, data.value[i]);
    for (int64_t k = 0; k < set.horizon; k++) {
        const double at = (double)(origin + k);
        plot_add(&p, "forecast", at, out[k]);
        plot_add(&p, "seasonal naive", at, forecast_simple(&data, FORECAST_SEASONAL, set.period, origin, k));
    }
    return plot_write(&p, set.forecast);
}

/* What comes after the series's end, as CSV. */
static bool write_future(trainer *t) {
    double out[HORIZON_MOST];
    if (!forecast_network(t->model, &data, data.n, set.context, set.horizon, t->device, out)) return false;
    FILE *f = fopen(set.future, "w");
    if (!f) return tern_error_set(TERN_ERR_IO, "%s: %s", set.future, strerror(errno));
    fprintf(f, "row,forecast\n");
    for (int64_t k = 0; k < set.horizon; k++) fprintf(f, "%" PRId64 ",%.9g\n", data.n + k + 1, out[k]);
    const bool bad = ferror(f) != 0;
    return (fclose(f) == 0 && !bad) ||
           tern_error_set(TERN_ERR_IO, "%s: cannot be written: %s", set.future, strerror(errno));
}

static void row(const char *name, double error, double scale) {
    printf("%-15s  MAE %8.4f  ", name, error);
    printf(scale > 0 ? "MASE %6.3f\n" : "MASE is not defined\n", error / scale);
}

static void compare(const trainer *t) {
    const double scale = error_scale(&data, set.period);
    printf("validation, %" PRId64 " windows of %" PRId64 " steps:\n", t->test->length, set.horizon);
    row("naive", error_simple(&data, FORECAST_NAIVE, set.period, set.context, set.horizon), scale);
    row("seasonal naive", error_simple(&data, FORECAST_SEASONAL, set.period, set.context, set.horizon), scale);
    row(set.model, t->value[VALIDATION] * data.std, scale);
}

/* ---- the program ------------------------------------------------------------------------------------------------- */

static bool make(trainer *t) {
    if (!(t->data ? series_read(&data, t->data, set.column) : series_generate(&data, set.length))) return false;
    if (!series_split(&data, set.context, set.horizon)) return false;
    t->train = windows_new(&data, set.context, set.horizon, true);
    t->test = t->train ? windows_new(&data, set.context, set.horizon, false) : NULL;
    if (!t->test) return false;
    t->model = strcmp(set.model, "lstm") == 0
                   ? lstm_forecaster_new(set.horizon, set.width, set.layers, set.dropout)
                   : transformer_forecaster_new(set.context, set.horizon, set.patch, set.width, set.heads, set.layers,
                                                set.dropout);
    if (!t->model || !tern_module_to(t->model, t->device)) return false;
    t->optim = tern_adamw_new(t->model, t->lr, (tern_adamw_opts){.weight_decay = 0.01});
    t->clip = 1;
    return epochs_loader(t) && epochs_cosine(t);
}

static bool work(trainer *t) {
    if (!make(t) || !epochs_start(t)) return false;
    while (epochs_next(t)) {
        tern_batch b;
        while (epochs_batch(t, &b)) {
            tern_tensor *loss = tern_l1_loss(tern_forward(t->model, b.x), b.y, TERN_REDUCE_MEAN);
            epochs_note(t, LOSS, loss, b.n);
            trainer_update(t, loss);
        }
        if (epochs_done(t)) epochs_set(t, VALIDATION, error_network(t->model, t->test, t->device));
    }
    if (!trainer_end(t) || !draw(t) || (set.future && !write_future(t))) return false;
    compare(t);
    return true;
}

static const char *wrong(const trainer *t) {
    if (!t->data != !set.column) return "--data and --column go together";
    if (set.context < set.period) return "--context is shorter than --period";
    if (strcmp(set.model, "lstm") == 0) return NULL;
    return set.context % set.patch ? "--patch does not divide --context"
           : set.width % set.heads ? "--heads does not divide --width"
           : set.width % 2         ? "--width is odd"
                                   : NULL;
}

static void options(trainer *t) {
    trainer_option(t, (option){"column", OPTION_TEXT, "NAME", &set.column, .help = "the column of --data"});
    trainer_option(t, (option){"length", OPTION_INT, "N", &set.length, 1, 1e8, .in_checkpoint = true,
                               .help = "values of the generated series"});
    trainer_option(t, (option){"model", OPTION_CHOICE, "lstm|transformer", &set.model, .in_checkpoint = true,
                               .help = "the network"});
    trainer_option(t, (option){"context", OPTION_INT, "N", &set.context, 1, 1 << 16, .in_checkpoint = true,
                               .help = "values that it sees"});
    trainer_option(t, (option){"horizon", OPTION_INT, "N", &set.horizon, 1, HORIZON_MOST, .in_checkpoint = true,
                               .help = "values that it forecasts"});
    trainer_option(t, (option){"period", OPTION_INT, "N", &set.period, 1, 1 << 16, .in_checkpoint = true,
                               .help = "of the seasonal naive forecast"});
    trainer_option(
        t, (option){"width", OPTION_INT, "N", &set.width, 1, 4096, .in_checkpoint = true, .help = "of its layers"});
    trainer_option(t, (option){"layers", OPTION_INT, "N", &set.layers, 1, 32, .in_checkpoint = true,
                               .help = "how many, one on the other"});
    trainer_option(t, (option){"heads", OPTION_INT, "N", &set.heads, 1, 64, .in_checkpoint = true,
                               .help = "of the transformer's attention"});
    trainer_option(t, (option){"patch", OPTION_INT, "N", &set.patch, 1, 1 << 16, .in_checkpoint = true,
                               .help = "values that are one position of the transformer"});
    trainer_option(t, (option){"dropout", OPTION_REAL, "P", &set.dropout, -1e-9, 0.9, .in_checkpoint = true,
                               .help = "share that is dropped in training"});
    trainer_option(t, (option){"forecast", OPTION_TEXT, "FILE", &set.forecast,
                               .help = "the last window: truth and forecasts (SVG)"});
    trainer_option(t, (option){"future", OPTION_TEXT, "FILE", &set.future,
                               .help = "also forecast what comes after the series, as CSV"});
}

int main(int argc, char **argv) {
    static trainer t = {
        .name = "timeseries",
        .about =
            "Forecasts a series, generated or a column of a CSV file, with an LSTM or a transformer, and\n"
            "compares with forecasts that cost nothing.",
        .values = {"loss", "validation"},
        .n_values = 2,
        .data_help = "CSV file with the series; a generated one without it",
        .epochs = 20,
        .batch = 32,
        .lr = 6e-3,
        .wrong = wrong,
        .plot = {.y_title = "mean absolute error, scaled"}};
    options(&t);
    const int code = trainer_main(&t, argc, argv, work);
    series_free(&data);
    return code;
}
