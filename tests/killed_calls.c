/* Kills its process before the so-manieth call that makes data durable or sends some.

For LD_PRELOAD. CRMMAP_KILL_AT_CALL says which, counted from one over all threads, once it is set.
*/
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_long calls;

static void count(void) {
    const char *at = getenv("CRMMAP_KILL_AT_CALL");
    if (at && atomic_fetch_add(&calls, 1) + 1 == atol(at)) kill(getpid(), SIGKILL);
}

/* Event loops wake themselves up by sockets, too: only those of networks matter. */
static int of_network(int file) {
    struct sockaddr_storage name = {0};
    socklen_t size = sizeof name;
    getsockname(file, (struct sockaddr *)&name, &size);
    return name.ss_family == AF_INET || name.ss_family == AF_INET6;
}

#define COUNTED(type, name, matters, taken, given)                                                \
    type name taken {                                                                             \
        static type(*real) taken;                                                                 \
        if (!real) real = (type(*) taken)dlsym(RTLD_NEXT, #name);                                 \
        if (matters) count();                                                                     \
        return real given;                                                                        \
    }

COUNTED(ssize_t, pwrite64, 1, (int file, const void *from, size_t size, off64_t at),
        (file, from, size, at))
COUNTED(int, fdatasync, 1, (int file), (file))
COUNTED(ssize_t, send, of_network(file), (int file, const void *from, size_t size, int flags),
        (file, from, size, flags))
COUNTED(ssize_t, sendto, of_network(file),
        (int file, const void *from, size_t size, int flags, const struct sockaddr *to,
         socklen_t length),
        (file, from, size, flags, to, length))
