#include "agent.h"

static tern_module *network_new(int64_t width) {
    return tern_sequential(tern_linear_new(CARTPOLE_STATE, width, (tern_linear_opts){0}), tern_relu_new(),
                           tern_linear_new(width, width, (tern_linear_opts){0}), tern_relu_new(),
                           tern_linear_new(width, CARTPOLE_ACTIONS, (tern_linear_opts){0}), NULL);
}

agent *agent_new(int64_t width, int64_t replay, tern_device device) {
    enum { STANDING = sizeof(standing) / sizeof(double) };
    const tern_options f32 = {.dtype = TERN_F32}, f64 = {.dtype = TERN_F64}, i64 = {.dtype = TERN_I64};
    agent *g = TERN_MODULE_NEW(agent);
    if (!g) return NULL;
    const int scope = tern_scope_push();
    g->replay = replay;
    g->online = tern_module_add(&g->m, "online", network_new(width));
    g->target = tern_module_add(&g->m, "target", network_new(width));
    g->states = tern_module_buffer(&g->m, "states", tern_zeros(TERN_SHAPE(replay, CARTPOLE_STATE), f32));
    g->next = tern_module_buffer(&g->m, "next", tern_zeros(TERN_SHAPE(replay, CARTPOLE_STATE), f32));
    g->actions = tern_module_buffer(&g->m, "actions", tern_zeros(TERN_SHAPE(replay, 1), i64));
    g->rewards = tern_module_buffer(&g->m, "rewards", tern_zeros(TERN_SHAPE(replay, 1), f32));
    g->goes_on = tern_module_buffer(&g->m, "goes_on", tern_zeros(TERN_SHAPE(replay, 1), f32));
    g->standing = tern_module_buffer(&g->m, "standing", tern_zeros(TERN_SHAPE(STANDING), f64));
    if (g->target && tern_module_copy(g->target, g->online) && tern_module_freeze(g->target, "*", true) > 0 &&
        tern_module_to(g->online, device))
        tern_module_to(g->target, device);
    tern_scope_pop(scope);
    return tern_module_done(g);
}

standing *agent_standing(agent *g) { return tern_data(g->standing); }

static void put(float *row, const cartpole *c) {
    row[0] = (float)c->x;
    row[1] = (float)c->x_speed;
    row[2] = (float)c->angle;
    row[3] = (float)c->angle_speed;
}

void agent_remember(agent *g, const cartpole *before, int action, double reward, const cartpole *after, bool failed) {
    standing *s = agent_standing(g);
    const int64_t at = (int64_t)s->moments % g->replay;
    s->moments++;
    put((float *)tern_data(g->states) + CARTPOLE_STATE * at, before);
    put((float *)tern_data(g->next) + CARTPOLE_STATE * at, after);
    ((int64_t *)tern_data(g->actions))[at] = action;
    ((float *)tern_data(g->rewards))[at] = (float)reward;
    ((float *)tern_data(g->goes_on))[at] = failed ? 0 : 1;
}

bool agent_act(agent *g, const cartpole *poles, int64_t n, tern_device device, int64_t *actions) {
    const int scope = tern_scope_push();
    const bool was = tern_inference_mode(true);
    tern_tensor *x = tern_empty(TERN_SHAPE(n, CARTPOLE_STATE), (tern_options){.dtype = TERN_F32});
    for (int64_t i = 0; x && i < n; i++) put((float *)tern_data(x) + CARTPOLE_STATE * i, &poles[i]);
    tern_tensor *best = tern_argmax(tern_forward(g->online, tern_to(x, device)), 1, false);
    const bool ok = tern_to_host(best, actions, (size_t)n * sizeof *actions);
    tern_inference_mode(was);
    tern_scope_pop(scope);
    return ok;
}

static tern_tensor *rows(tern_tensor *of, tern_tensor *index, tern_device device) {
    return tern_to(tern_index_select(of, 0, index), device);
}

tern_tensor *agent_loss(agent *g, int64_t batch, double discount, bool twice, tern_device device) {
    const int64_t moments = (int64_t)agent_standing(g)->moments, there = moments < g->replay ? moments : g->replay;
    tern_tensor *drawn = tern_randint(TERN_SHAPE(batch), 0, there, (tern_options){.dtype = TERN_I64});
    tern_tensor *next = rows(g->next, drawn, device), *actions = rows(g->actions, drawn, device);
    const bool was = tern_grad_mode(false);
    tern_tensor *preferred = tern_argmax(tern_forward(twice ? g->online : g->target, next), 1, true);
    tern_tensor *after = tern_gather(tern_forward(g->target, next), 1, preferred);
    after = tern_mul(rows(g->goes_on, drawn, device), tern_mul_scalar(after, discount));
    tern_tensor *worth = tern_add(rows(g->rewards, drawn, device), after);
    tern_grad_mode(was);
    tern_tensor *thought = tern_gather(tern_forward(g->online, rows(g->states, drawn, device)), 1, actions);
    return tern_huber_loss(thought, worth, 1, TERN_REDUCE_MEAN);
}

bool agent_follow(agent *g, double rate) {
    const bool was = tern_grad_mode(false);
    tern_named to, from;
    for (int i = 0; tern_module_each(g->target, i, &to) && tern_module_each(g->online, i, &from); i++)
        tern_lerp_scalar_(to.tensor, from.tensor, rate);
    tern_grad_mode(was);
    return tern_ok();
}
