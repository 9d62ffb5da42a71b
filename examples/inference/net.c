#include "net.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../cifar/model.h"
#include "../common/text_file.h"
#include "../digits/model.h"
#include "../mnist/model.h"

/* What a checkpoint says of its network. */
enum { PROGRAM, DATASET, MODEL, CLASSES, WIDTH, EMA, USERS };
static const char *const user_names[USERS] = {"program", "dataset", "model", "classes", "width", "ema"};

static bool is(const char *a, const char *b) { return a && strcmp(a, b) == 0; }

static bool foreign(const char *path, const tern_checkpoint_user *u) {
    const char *of = u[PROGRAM].text ? u[PROGRAM].text : u[DATASET].text;
    return tern_error_set(TERN_ERR_FORMAT, "%s: this is a checkpoint of %s; expected one of cifar, digits or mnist",
                          path, of ? of : "another program");
}

/* ---- digits and mnist -------------------------------------------------------------------------------------------- */

static bool digits_net(net *n, const char *path, const tern_checkpoint_user *u) {
    static const struct {
        const char *dataset, *model;
        tern_module *(*net_new)(void);
        int64_t size;
        double mean, std;
    } nets[] = {{"digits", "cnn", digits_cnn_new, DIGITS_SIZE, 0, 1},
                {"digits", "mlp", digits_mlp_new, DIGITS_SIZE, 0, 1},
                {"mnist", "cnn", mnist_cnn_new, MNIST_SIZE, MNIST_MEAN, MNIST_STD},
                {"mnist", "mlp", mnist_mlp_new, MNIST_SIZE, MNIST_MEAN, MNIST_STD}};
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) {
        if (!is(u[DATASET].text, nets[i].dataset) || !is(u[MODEL].text, nets[i].model)) continue;
        n->channels = 1;
        n->height = n->width = nets[i].size;
        n->mean[0] = nets[i].mean;
        n->std[0] = nets[i].std;
        n->module = nets[i].net_new();
        return n->module != NULL;
    }
    return foreign(path, u);
}

/* ---- cifar ------------------------------------------------------------------------------------------------------- */

static bool cifar_net(net *n, const char *path, const tern_checkpoint_user *u) {
    enum { WIDTH_MAX = 512 };
    const bool known = is(u[MODEL].text, "resnet9") || is(u[MODEL].text, "resnet18");
    if (!known || !u[CLASSES].text || !(u[WIDTH].number >= 1 && u[WIDTH].number <= WIDTH_MAX))
        return tern_error_set(TERN_ERR_FORMAT, "%s: its network is not one that cifar makes", path);
    n->names = strdup(u[CLASSES].text);
    if (!n->names) return tern_error_set(TERN_ERR_MEMORY, "no memory for the names of the classes");
    int64_t classes = 1;
    for (char *c = n->names; *c; c++) {
        if (*c != '/') continue;
        *c = '\n';
        classes++;
    }
    n->channels = CIFAR_CHANNELS;
    n->height = n->width = CIFAR_SIZE;
    memcpy(n->mean, cifar_mean, sizeof cifar_mean);
    memcpy(n->std, cifar_std, sizeof cifar_std);
    n->module = cifar_net_new(u[MODEL].text, classes, (int64_t)u[WIDTH].number);
    return n->module != NULL;
}

/* ---- checkpoints ------------------------------------------------------------------------------------------------- */

static bool take_weights(net *n, const char *path, tern_device device, bool averaged) {
    tern_module *module = n->module;
    if (!tern_module_to(module, device)) return false;
    if (averaged && !(n->average = tern_average_new(module, (tern_average_opts){.buffers = true}))) return false;
    tern_checkpoint c = {.model = module, .average = n->average, .no_random = true};
    if (!tern_checkpoint_load(path, &c)) return false;
    if (!n->average) return true;
    tern_module_free(module);
    n->module = tern_average_module(n->average);
    return true;
}

bool net_from_checkpoint(net *n, const char *path, tern_device device) {
    tern_checkpoint_user u[USERS];
    for (int i = 0; i < USERS; i++) u[i] = (tern_checkpoint_user){.name = user_names[i]};
    tern_checkpoint c = {.no_random = true, .user = u, .n_user = USERS, .not_strict = true};
    if (!tern_checkpoint_load(path, &c)) return false;
    const bool made = is(u[PROGRAM].text, "cifar") ? cifar_net(n, path, u) : digits_net(n, path, u);
    tern_checkpoint_free_text(&c);
    return made && take_weights(n, path, device, u[EMA].number > 0);
}

/* ---- ONNX -------------------------------------------------------------------------------------------------------- */

bool net_from_onnx(net *n, const char *path, const char *labels, tern_device device) {
    size_t bytes;
    if (labels) {
        char *text = text_read(labels, &bytes), *more = text ? realloc(text, bytes + 1) : NULL;
        n->names = more ? more : text;
        if (!text) return false;
        if (!more) return tern_error_set(TERN_ERR_MEMORY, "%s: no memory for it", labels);
        more[bytes] = '\0';
    }
    n->module = tern_onnx_load(path);
    if (!n->module) return false;
    if (tern_onnx_inputs(n->module) != 1)
        return tern_error_set(TERN_ERR_ARGUMENT, "%s takes %d inputs; expected one, pictures", path,
                              tern_onnx_inputs(n->module));
    return tern_module_to(n->module, device);
}

void net_free(net *n) {
    if (n->average) {
        if (n->module != tern_average_module(n->average)) tern_module_free(n->module);
        tern_average_free(n->average);
    } else {
        tern_module_free(n->module);
    }
    free(n->names);
    *n = (net){0};
}

const char *net_class(const net *n, int64_t i, char *buf, size_t size) {
    const char *line = n->names;
    for (int64_t k = 0; line && *line && k < i; k++) {
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    if (line && *line && *line != '\n') {
        snprintf(buf, size, "%.*s", (int)strcspn(line, "\r\n"), line);
    } else {
        snprintf(buf, size, "%" PRId64, i);
    }
    return buf;
}
