/* A process of its own for the HDF5 library, and the pipe that it answers through. It is a fork of a program with
 * threads: whatever lock another thread held stays taken there for ever. So it calls the HDF5 library, which is at rest
 * when it is made, the C library's memory, which is too, and the system; nothing of Tern's that takes a lock, makes a
 * tensor or records an error. What it does is read into fresh pages. Private. */
#ifndef TERNI_H5_PROCESS_H
#define TERNI_H5_PROCESS_H

#include <sys/types.h>

#include "internal.h"

#if defined(__has_feature) /* clang's way to say it */
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define TERNI_SANITIZED
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TERNI_SANITIZED
#endif

typedef struct terni_h5_process {
    const char *what, *path; /* for messages: "keras"; the file */
    int seconds;             /* without a word from it, and of processor time for it */
    int64_t most;            /* bytes that it may need for what it reads */
    tern_code lack, late;    /* what it is if there can be no such process; if the time is over */
    pid_t pid;               /* from here on for terni_h5_process_*; 0: this is the new process */
    int fd;                  /* there, what it writes to; here, what is read from */
    bool silent, ended;      /* what reading met: no word in time; the end */
} terni_h5_process;

/* Starts it. In the new process pid is 0: signals do what they do by default, of files it has this pipe, 0 to 2 and
 * what a path such as /proc/self/fd/5 names, and its memory is bounded. */
bool terni_h5_process_begin(terni_h5_process *p);
/* Reads all of the bytes; false without an error where none came. */
bool terni_h5_process_receive(terni_h5_process *p, void *data, size_t bytes);
/* Ends it, whatever it does; ok, or why it is not, unless that is recorded. */
bool terni_h5_process_finish(terni_h5_process *p, bool ok);

/* In the new process: writes; reads into pages that munmap gives back (NULL: none); ends. */
bool terni_h5_process_send(int fd, const void *data, size_t bytes);
void *terni_h5_process_room(size_t bytes);
void terni_h5_process_end(int fd);

#endif
