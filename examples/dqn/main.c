/* Learns to balance a pole on a cart by deep Q-learning. README.md tells how. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../common/trainer.h"
#include "agent.h"
#include "trajectory.h"

static struct {
    const char *algorithm, *trajectory;
    int64_t width, replay, learn_after, follow_every, explore;
    double discount, follow, epsilon;
} set = {.algorithm = "double",
         .width = 128,
         .replay = 30000,
         .learn_after = 500,
         .follow_every = 1,
         .explore = 5000,
         .discount = 0.99,
         .follow = 0.01,
         .epsilon = 0.02};

/* ---- playing ----------------------------------------------------------------------------------------------------- */

static cartpole start(const double *uniform) {
    return (cartpole){0.1 * uniform[0] - 0.05, 0.1 * uniform[1] - 0.05, 0.1 * uniform[2] - 0.05,
                      0.1 * uniform[3] - 0.05};
}

/* n numbers drawn evenly from 0 to 1. */
static bool draw(double *uniform, int64_t n) {
    const int scope = tern_scope_push();
    const bool ok = tern_to_doubles(tern_rand(TERN_SHAPE(n), 0, 1, (tern_options){.dtype = TERN_F64}), uniform, n);
    tern_scope_pop(scope);
    return ok;
}

/* A new episode begins. */
static bool begin(standing *s) {
    double uniform[CARTPOLE_STATE];
    if (!draw(uniform, CARTPOLE_STATE)) return false;
    s->pole = start(uniform);
    s->steps = 0;
    return true;
}

/* How often actions are drawn at random: less and less often in the first steps. */
static double epsilon(int64_t step) {
    const double part = (double)step / (double)set.explore;
    return part < 1 ? 1 - part * (1 - set.epsilon) : set.epsilon;
}

/* One action and what comes of it, into the replay buffer. */
static bool play(trainer *t, agent *g) {
    double uniform[2];
    int64_t action;
    standing *s = agent_standing(g);
    if (!draw(uniform, 2)) return false;
    if (uniform[0] < epsilon(t->step)) {
        action = uniform[1] < 0.5;
    } else if (!agent_act(g, &s->pole, 1, t->device, &action)) {
        return false;
    }
    const cartpole before = s->pole;
    cartpole_step(&s->pole, (int)action);
    s->steps++;
    const bool failed = cartpole_failed(&s->pole);
    /* When the time is up nothing has failed: what would have come counts (Pardo et al., arXiv 1712.00378). */
    agent_remember(g, &before, (int)action, 1, &s->pole, failed);
    if (!failed && s->steps < CARTPOLE_STEPS) return true;
    s->episodes++;
    s->returns += s->steps; /* each step's reward is 1 */
    return begin(s);
}

/* The mean return of greedy play from the same n starts each time, spread evenly by multiples of irrational numbers:
 * the program's random stream goes on as if nobody had looked. NaN after an error. */
static double evaluate(agent *g, int64_t n, tern_device device) {
    enum { MOST = 100 };
    static const double irrational[CARTPOLE_STATE] = {0.8566748839, 0.7338918566, 0.6287067210, 0.5385972572};
    cartpole poles[MOST];
    int64_t actions[MOST], steps = 0;
    for (int64_t i = 0; i < n; i++) {
        double uniform[CARTPOLE_STATE];
        for (int k = 0; k < CARTPOLE_STATE; k++) uniform[k] = fmod((double)(i + 1) * irrational[k], 1);
        poles[i] = start(uniform);
    }
    int64_t upright = n; /* those come first */
    for (int k = 0; k < CARTPOLE_STEPS && upright; k++) {
        if (!agent_act(g, poles, upright, device, actions)) return (double)NAN;
        int64_t kept = 0;
        for (int64_t i = 0; i < upright; i++) {
            cartpole_step(&poles[i], (int)actions[i]);
            steps++;
            if (!cartpole_failed(&poles[i])) poles[kept++] = poles[i];
        }
        upright = kept;
    }
    return (double)steps / (double)n;
}

/* ---- learning ---------------------------------------------------------------------------------------------------- */

static bool learn(trainer *t, agent *g) {
    const int scope = tern_scope_push();
    bool ok = trainer_update(t, agent_loss(g, t->batch, set.discount, strcmp(set.algorithm, "double") == 0, t->device));
    if (ok && t->step % set.follow_every == 0) ok = agent_follow(g, set.follow);
    tern_scope_pop(scope);
    return ok;
}

/* The line that tells how it goes: the mean returns of the episodes since the last one, and of ten greedy ones. */
static bool report(trainer *t, agent *g) {
    enum { EPISODES = 10 };
    standing *s = agent_standing(g);
    const int64_t step = t->step + 1;
    const double greedy = evaluate(g, EPISODES, t->device);
    if (!tern_ok()) return false;
    printf("step %6" PRId64 " of %" PRId64 "  epsilon %.2f", step, t->steps, epsilon(t->step));
    if (s->episodes > 0) {
        plot_add(&t->plot, "training", (double)step, s->returns / s->episodes);
        printf("  episodes %3.0f, mean return %5.1f", s->episodes, s->returns / s->episodes);
    }
    printf("  greedy %5.1f\n", greedy);
    fflush(stdout);
    plot_add(&t->plot, "greedy", (double)step, greedy);
    s->episodes = s->returns = 0;
    return true;
}

static bool train(trainer *t, agent *g) {
    while (trainer_more(t)) {
        if (!play(t, g) || (t->step >= set.learn_after && !learn(t, g))) return false;
        if ((trainer_due(t) && !report(t, g)) || !trainer_next(t)) return false;
    }
    return trainer_end(t);
}

/* ---- the program ------------------------------------------------------------------------------------------------- */

static bool work(trainer *t) {
    enum { EPISODES = 100 };
    char device[32];
    if (set.trajectory) return trajectory_check(set.trajectory);
    agent *g = agent_new(set.width, set.replay, t->device);
    t->model = g ? &g->m : NULL;
    if (!g) return false;
    t->optim = tern_adam_new(g->online, t->lr, (tern_adam_opts){0});
    t->schedule = (tern_schedule){.kind = TERN_SCHEDULE_POLYNOMIAL, .lr = t->lr, .total = t->steps};
    t->clip = 10;
    if (!t->optim || !trainer_start(t) || (!t->resume && !begin(agent_standing(g)))) return false;
    if (!(agent_standing(g)->moments >= 0 && agent_standing(g)->moments <= 1e15))
        return tern_error_set(TERN_ERR_FORMAT, "%s: its game is damaged", t->resume);
    printf("%s: %" PRId64 " parameters, a replay buffer of %" PRId64 ", on %s\n", set.algorithm,
           tern_module_count(g->online, false), set.replay, tern_device_name(t->device, device, sizeof device));
    fflush(stdout);
    if (!train(t, g)) return false;
    const double mean = evaluate(g, EPISODES, t->device);
    if (!tern_ok()) return false;
    printf("checkpoint: %s, curves: %s\n%d greedy episodes: mean return %.1f of %d\n", t->out, t->plot_path, EPISODES,
           mean, CARTPOLE_STEPS);
    return true;
}

static void options(trainer *t) {
    trainer_option(t, (option){"algorithm", OPTION_CHOICE, "double|dqn", &set.algorithm, .in_checkpoint = true,
                               .help = "which network chooses the next action whose worth is learned\nfrom: the one "
                                       "that learns, or the target network"});
    trainer_option(t, (option){"width", OPTION_INT, "N", &set.width, 1, 4096, .in_checkpoint = true,
                               .help = "of the two hidden layers"});
    trainer_option(t, (option){"replay", OPTION_INT, "N", &set.replay, 1, 1e7, .in_checkpoint = true,
                               .help = "moments that are remembered"});
    trainer_option(t, (option){"learn-after", OPTION_INT, "N", &set.learn_after, 1, 1e9, .in_checkpoint = true,
                               .help = "steps that are only played, at first"});
    trainer_option(t, (option){"discount", OPTION_REAL, "G", &set.discount, 0, 1, .in_checkpoint = true,
                               .help = "what the next step's worth counts"});
    trainer_option(t, (option){"follow", OPTION_REAL, "TAU", &set.follow, 0, 1, .in_checkpoint = true,
                               .help = "part of the way that the target network goes to the one that\nlearns; 1: it "
                                       "becomes its copy"});
    trainer_option(t, (option){"follow-every", OPTION_INT, "N", &set.follow_every, 1, 1e9, .in_checkpoint = true,
                               .help = "steps from one time to the next"});
    trainer_option(t, (option){"explore", OPTION_INT, "N", &set.explore, 1, 1e9, .in_checkpoint = true,
                               .help = "steps in which random actions get rarer"});
    trainer_option(t, (option){"epsilon", OPTION_REAL, "P", &set.epsilon, 0, 1, .in_checkpoint = true,
                               .help = "the share of random actions after that"});
    trainer_option(t, (option){"trajectory", OPTION_TEXT, "FILE", &set.trajectory,
                               .help = "compare the simulation with one that another program wrote\n(CSV) instead of "
                                       "learning"});
}

int main(int argc, char **argv) {
    static trainer t = {.name = "dqn",
                        .about = "Learns to balance a pole on a cart by deep Q-learning.",
                        .steps = 30000,
                        .batch = 128,
                        .lr = 5e-4,
                        .eval_every = 1500,
                        .checkpoint_every = 5000,
                        .plot = {.title = "dqn: CartPole", .y_title = "mean return"}};
    options(&t);
    return trainer_main(&t, argc, argv, work);
}
