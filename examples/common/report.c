#include "report.h"

#include <inttypes.h>
#include <stdio.h>

bool confusion_add(confusion *c, const int64_t *actual, const int64_t *predicted, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const int64_t a = actual[i], p = predicted[i];
        if (a < 0 || a >= c->classes || p < 0 || p >= c->classes) return false;
        c->count[a][p]++;
    }
    return true;
}

int64_t confusion_total(const confusion *c) {
    int64_t n = 0;
    for (int a = 0; a < c->classes; a++) {
        for (int p = 0; p < c->classes; p++) n += c->count[a][p];
    }
    return n;
}

int64_t confusion_correct(const confusion *c) {
    int64_t n = 0;
    for (int a = 0; a < c->classes; a++) n += c->count[a][a];
    return n;
}

static double ratio(int64_t part, int64_t whole) { return whole ? (double)part / (double)whole : 0.0; }

double confusion_accuracy(const confusion *c) { return ratio(confusion_correct(c), confusion_total(c)); }

static const char *class_name(const char *const *names, int i, char *buf, size_t size) {
    snprintf(buf, size, "%d", i);
    return names ? names[i] : buf;
}

static void print_classes(const confusion *c, const char *const *names) {
    double precisions = 0, recalls = 0, f1s = 0;
    char buf[16];
    printf("%-8s %10s %10s %10s %10s\n", "class", "precision", "recall", "F1", "support");
    for (int k = 0; k < c->classes; k++) {
        int64_t actual = 0, predicted = 0;
        for (int i = 0; i < c->classes; i++) {
            actual += c->count[k][i];
            predicted += c->count[i][k];
        }
        const double precision = ratio(c->count[k][k], predicted), recall = ratio(c->count[k][k], actual);
        const double f1 = ratio(2 * c->count[k][k], actual + predicted);
        printf("%-8s %10.4f %10.4f %10.4f %10" PRId64 "\n", class_name(names, k, buf, sizeof buf), precision, recall,
               f1, actual);
        precisions += precision;
        recalls += recall;
        f1s += f1;
    }
    const double n = c->classes;
    printf("%-8s %10.4f %10.4f %10.4f %10" PRId64 "\n", "mean", precisions / n, recalls / n, f1s / n,
           confusion_total(c));
}

static void print_matrix(const confusion *c, const char *const *names) {
    char buf[16];
    printf("%-8s", "actual");
    for (int p = 0; p < c->classes; p++) printf(" %6s", class_name(names, p, buf, sizeof buf));
    printf("  <- predicted\n");
    for (int a = 0; a < c->classes; a++) {
        printf("%-8s", class_name(names, a, buf, sizeof buf));
        for (int p = 0; p < c->classes; p++) {
            if (c->count[a][p]) {
                printf(" %6" PRId64, c->count[a][p]);
            } else {
                printf(" %6s", ".");
            }
        }
        printf("\n");
    }
}

void report_print(const confusion *c, const char *const *names) {
    print_classes(c, names);
    printf("\n");
    print_matrix(c, names);
    printf("\nTest accuracy %.2f %% (%" PRId64 " of %" PRId64 ")\n", 100 * confusion_accuracy(c), confusion_correct(c),
           confusion_total(c));
}
