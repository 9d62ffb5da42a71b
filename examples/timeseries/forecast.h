/* What the network says, against the truth and against the two forecasts that cost nothing. */
#ifndef FORECAST_H
#define FORECAST_H

#include "series.h"

/* Which forecast: the last value goes on; the last period repeats itself. */
typedef enum forecast_kind { FORECAST_NAIVE, FORECAST_SEASONAL } forecast_kind;

/* Values 0 ... horizon - 1 from origin on, by a network of forecasts from its last `context` values; in the series's
 * unit.
 */
bool forecast_network(tern_module *net, const series *s, int64_t origin, int64_t context, int64_t horizon,
                      tern_device device, double *out);
double forecast_simple(const series *s, forecast_kind kind, int64_t period, int64_t origin, int64_t step);

/* The mean absolute errors over all windows of the validation part; NaN after an error. The network's is in units of
 * the scaled series. */
double error_network(tern_module *net, tern_dataset *windows, tern_device device);
double error_simple(const series *s, forecast_kind kind, int64_t period, int64_t context, int64_t horizon);
/* What the mean absolute scaled error (MASE) divides by: the error of the seasonal forecast one step ahead within the
 * training part (Hyndman and Koehler, International Journal of Forecasting 22, 2006). */
double error_scale(const series *s, int64_t period);

#endif
