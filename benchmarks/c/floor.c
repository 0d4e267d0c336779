/* The row `floor`: the least that keeps N workers running, as a mark of what this machine allows.
 *
 *   floor N WORKER ARGUMENTS…   starts N of them, the last argument replaced by 0 … N-1; starts again whatever ends;
 *                               TERM ends all and leaves
 *
 * posix_spawn and signalfd. No config, no captured output, no back-off, no tree: it is no supervisor for anybody.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static posix_spawn_file_actions_t files;
static posix_spawnattr_t attributes;

static pid_t start(char **command, int last, int index)
{
    char number[16];
    pid_t pid;
    snprintf(number, sizeof number, "%d", index);
    command[last] = number;
    return posix_spawn(&pid, command[0], &files, &attributes, command, environ) == 0 ? pid : 0;
}

static void prepare(void)
{
    sigset_t none;
    sigemptyset(&none);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDWR, 0);
    posix_spawn_file_actions_adddup2(&files, 0, 1);
    posix_spawn_file_actions_adddup2(&files, 0, 2);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    int count = atoi(argv[1]), alive = 0, leaving = 0;
    char **command = argv + 2;
    int last = argc - 3;
    pid_t *pids = calloc(count, sizeof *pids);
    sigset_t heard;
    sigemptyset(&heard);
    sigaddset(&heard, SIGCHLD);
    sigaddset(&heard, SIGTERM);
    sigprocmask(SIG_BLOCK, &heard, NULL);
    int signals = signalfd(-1, &heard, SFD_CLOEXEC);
    prepare();
    for (int i = 0; i < count; i++)
        alive += (pids[i] = start(command, last, i)) > 0;
    while (alive > 0) {
        struct signalfd_siginfo told;
        if (read(signals, &told, sizeof told) != sizeof told)
            return 1;
        if (told.ssi_signo == SIGTERM && !leaving) {
            leaving = 1;
            for (int i = 0; i < count; i++)
                if (pids[i] > 0)
                    kill(pids[i], SIGTERM);
        }
        pid_t ended;
        while ((ended = waitpid(-1, NULL, WNOHANG)) > 0) {
            int i = 0;
            while (i < count && pids[i] != ended)
                i++;
            pids[i] = leaving ? 0 : start(command, last, i);
            alive -= pids[i] == 0;
        }
    }
    return 0;
}
