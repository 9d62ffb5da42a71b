#include "h5_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "h5.h"

/* ---- the new process --------------------------------------------------------------------------------------------- */

bool terni_h5_process_send(int fd, const void *data, size_t bytes) {
    const char *p = data;
    while (bytes > 0) {
        const ssize_t n = write(fd, p, bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        p += n;
        bytes -= (size_t)n;
    }
    return true;
}

void *terni_h5_process_room(size_t bytes) {
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

void terni_h5_process_end(int fd) {
    close(fd);
    for (;;) kill(getpid(), SIGKILL); /* nothing of the program's is to run at an end */
}

static void close_from(int first, int end) {
#ifdef SYS_close_range
    if (first >= end || syscall(SYS_close_range, first, end - 1, 0) == 0) return;
#endif
    struct rlimit most;
    if (getrlimit(RLIMIT_NOFILE, &most) == 0 && most.rlim_cur < (rlim_t)end) end = (int)most.rlim_cur;
    for (int fd = first; fd < end; fd++) close(fd);
}

/* The descriptor that a path such as /proc/self/fd/5 names: the file is opened through it; -1: none. */
static int descriptor_of(const char *path) {
    static const char *const folders[] = {"/proc/self/fd/", "/dev/fd/"};
    for (int i = 0; i < 2; i++) {
        const size_t n = strlen(folders[i]);
        char *end;
        if (strncmp(path, folders[i], n) != 0) continue;
        const long fd = strtol(path + n, &end, 10);
        if (end > path + n && *end == 0 && fd >= 0 && fd < INT32_MAX) return (int)fd;
    }
    return -1;
}

/* All from 3 on but these two. */
static void close_others(int a, int b) {
    const int low = a < b ? a : b, high = a < b ? b : a;
    close_from(3, low);
    close_from(low < 3 ? 3 : low + 1, high);
    close_from(high < 3 ? 3 : high + 1, INT32_MAX);
}

#ifndef TERNI_SANITIZED
/* Bytes of addresses that the process has; 0 if that cannot be told. */
static rlim_t present(void) {
    char text[64] = "";
    const int fd = open("/proc/self/statm", O_RDONLY);
    if (fd < 0) return 0;
    const ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    return n <= 0 ? 0 : (rlim_t)strtoull(text, NULL, 10) * (rlim_t)sysconf(_SC_PAGESIZE);
}

/* What is read, and converted, and what the library needs besides. */
static void limit_memory(int64_t most) {
    struct rlimit l;
    rlim_t want = present();
    if (want == 0 || getrlimit(RLIMIT_AS, &l) != 0 || __builtin_add_overflow(want, (rlim_t)256 << 20, &want) ||
        __builtin_add_overflow(want, (rlim_t)most, &want) || __builtin_add_overflow(want, (rlim_t)most, &want))
        return;
    if (want < l.rlim_cur) l.rlim_cur = want;
    setrlimit(RLIMIT_AS, &l);
}
#else
static void limit_memory(int64_t most) { (void)most; } /* a sanitizer has the addresses to itself */
#endif

/* What the new process is not to have of the program's. */
static void settle(const terni_h5_process *p) {
    sigset_t none;
    sigemptyset(&none);
    for (int s = 1; s < NSIG; s++) signal(s, SIG_DFL);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    close_others(p->fd, descriptor_of(p->path));
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    setrlimit(RLIMIT_CPU, &(struct rlimit){(rlim_t)p->seconds, (rlim_t)p->seconds});
    limit_memory(p->most);
}

/* ---- the program's side ------------------------------------------------------------------------------------------ */

/* The pipe and the process, with the library taken: another thread's would get the pipe's ends too. */
static int start(terni_h5_process *p) {
    int fd[2];
    if (pipe2(fd, O_CLOEXEC) != 0) return errno;
    p->pid = fork();
    const int e = errno;
    p->fd = fd[p->pid == 0];
    close(fd[p->pid != 0]);
    if (p->pid < 0) close(p->fd);
    return p->pid < 0 ? e : 0;
}

bool terni_h5_process_begin(terni_h5_process *p) {
    sigset_t all, was;
    sigfillset(&all);
    terni_h5_enter();                         /* so that the library is at rest when it is doubled */
    pthread_sigmask(SIG_SETMASK, &all, &was); /* none of the program's handlers runs in the new process */
    const int e = start(p);
    if (e == 0 && p->pid == 0) {
        settle(p);
        return true;
    }
    pthread_sigmask(SIG_SETMASK, &was, NULL);
    terni_h5_leave();
    return e == 0 || terni_fail(p->lack, "%s: %s: no process to read it: %s", p->what, p->path, strerror(e));
}

/* Waits for something to read; false when the time is over. */
static bool heard(terni_h5_process *p) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    const int64_t end = now.tv_sec * 1000 + now.tv_nsec / 1000000 + p->seconds * (int64_t)1000;
    for (int64_t left = p->seconds * (int64_t)1000; left > 0;) {
        const int n = poll(&(struct pollfd){.fd = p->fd, .events = POLLIN}, 1, (int)(left < 60000 ? left : 60000));
        if (n > 0 || (n < 0 && errno != EINTR)) return true;
        clock_gettime(CLOCK_MONOTONIC, &now);
        left = end - (now.tv_sec * 1000 + now.tv_nsec / 1000000);
    }
    p->silent = true;
    return false;
}

bool terni_h5_process_receive(terni_h5_process *p, void *data, size_t bytes) {
    char *to = data;
    while (bytes > 0) {
        if (!heard(p)) return false;
        const ssize_t n = read(p->fd, to, bytes);
        if (n < 0 && errno == EINTR) continue;
        p->ended = n == 0;
        if (n <= 0) return false;
        to += n;
        bytes -= (size_t)n;
    }
    return true;
}

/* Why it sent no more. A file is only called damaged where that is what it was. */
static bool explain(const terni_h5_process *p, bool known, int status) {
    const int by = known && WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    if (p->silent || by == SIGXCPU)
        return terni_fail(p->late,
                          "%s: %s: reading it was given up after %d seconds: it is damaged, or the machine too busy",
                          p->what, p->path, p->seconds);
    if (!known)
        return terni_fail(p->late,
                          "%s: %s: the process that read it ended; nobody knows why (is SIGCHLD ignored?): the file "
                          "is damaged, or memory short",
                          p->what, p->path);
    if (p->ended && (by == SIGKILL || by == SIGTERM || by == SIGINT || by == SIGHUP || by == SIGQUIT))
        return terni_fail(TERN_ERR_MEMORY,
                          "%s: %s: the process that read it was ended by signal %d, which a system that lacks memory "
                          "sends (9), or a user",
                          p->what, p->path, by);
    return terni_fail(TERN_ERR_FORMAT, "%s: %s: the file is damaged: reading it crashed the HDF5 library", p->what,
                      p->path);
}

bool terni_h5_process_finish(terni_h5_process *p, bool ok) {
    int status = 0;
    close(p->fd);
    pid_t r = waitpid(p->pid, &status, WNOHANG); /* one that is gone is not killed: its number may be another's */
    if (r == 0) {
        kill(p->pid, SIGKILL); /* it may be busy with nothing, or never end */
        while ((r = waitpid(p->pid, &status, 0)) < 0 && errno == EINTR) continue;
    }
    return ok || (tern_ok() && explain(p, r == p->pid, status));
}
