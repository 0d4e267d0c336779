/* The worker of every row: as small as a process can be, so that what is measured is the supervisor.
 *
 *   worker sleep NOTES INDEX              note, then sleep until a signal
 *   worker exit NOTES INDEX               note, then end with 1
 *   worker write NOTES INDEX LINES BLOCK  note, wait until somebody opens the pipe NOTES.go, note, write LINES lines of
 *                                         100 bytes, BLOCK bytes a write, note, then sleep
 *
 *   worker steady NOTES INDEX RATE        note, then write RATE lines a second (0: as many as go), ten a write, until USR1;
 *                                         then end with INDEX + 1. How many lines its writes took stands, renewed after
 *                                         each, in the file NOTES.written/<index>.<pid>, which outlives it however it
 *                                         ends. Where NOTES.over is, it writes nothing
 *
 * A note is one line of 64 bytes, appended by one write: what, index, pid, CLOCK_MONOTONIC in nanoseconds.
 * A line is "w<index> <sequence> <filler>\n", so that a lost, doubled, torn or foreign line shows; where a worker has
 * several lives the filler begins with its pid.
 * No standard I/O and no sleep in what is timed: both would be measured as well. worker.py does the same where there is no
 * compiler; the two must write the same bytes.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { NOTE = 64, LINE = 100, BATCH = 10 }; /* a batch is less than PIPE_BUF: a write takes all of it or nothing */

static volatile sig_atomic_t asked;

static void on_usr1(int number)
{
    asked = number;
}

static int note(int notes, const char *what, long index)
{
    struct timespec now;
    char text[NOTE + 1];
    clock_gettime(CLOCK_MONOTONIC, &now);
    int length = snprintf(text, sizeof text, "%s %ld %ld %lld", what, index, (long)getpid(),
                          (long long)now.tv_sec * 1000000000LL + now.tv_nsec);
    memset(text + length, ' ', NOTE - 1 - length);
    text[NOTE - 1] = '\n';
    return write(notes, text, NOTE) == NOTE ? 0 : 1;
}

static int wait_for_go(const char *notes)
{
    char path[4096];
    snprintf(path, sizeof path, "%s.go", notes);
    return open(path, O_RDONLY | O_CLOEXEC); /* returns when the other end is opened */
}

static int put(const char *data, long size)
{
    while (size > 0) {
        ssize_t done = write(STDOUT_FILENO, data, size);
        if (done <= 0)
            return 1;
        data += done;
        size -= done;
    }
    return 0;
}

static void count_up(char *last)
{
    while (*last == '9')
        *last-- = '0';
    ++*last;
}

static int write_lines(long index, long lines, long block)
{
    long each = block / LINE > 0 ? block / LINE : 1;
    char *buffer = malloc(each * LINE);
    char line[LINE + 1];
    if (buffer == NULL)
        return 1;
    int head = snprintf(line, sizeof line, "w%04ld 0000000000 ", index);
    memset(line + head, 'x', LINE - 1 - head);
    line[LINE - 1] = '\n';
    for (long done = 0; done < lines;) {
        long now = lines - done < each ? lines - done : each;
        for (long i = 0; i < now; i++) {
            memcpy(buffer + i * LINE, line, LINE);
            count_up(line + head - 2);
        }
        if (put(buffer, now * LINE))
            return 1;
        done += now;
    }
    free(buffer);
    return 0;
}

static volatile long *counter(const char *notes, long index)
{
    char path[4096];
    snprintf(path, sizeof path, "%s.written/%ld.%ld", notes, index, (long)getpid());
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0 || ftruncate(file, sizeof(long)))
        return NULL;
    void *made = mmap(NULL, sizeof(long), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    return made == MAP_FAILED ? NULL : made;
}

/* A write that fails ends it, as it ends most programs; SIGPIPE does what whoever started it has set. */
static int write_steadily(const char *notes, long index, long rate)
{
    char over[4096], buffer[BATCH * LINE + 1];
    struct timespec pause = {0, 0};
    struct sigaction action = {.sa_handler = on_usr1};
    volatile long *written = counter(notes, index);
    snprintf(over, sizeof over, "%s.over", notes);
    if (written == NULL)
        return 6;
    sigaction(SIGUSR1, &action, NULL);
    if (rate > 0) {
        pause.tv_sec = BATCH / rate;
        pause.tv_nsec = BATCH * 1000000000L / rate % 1000000000L;
    }
    if (access(over, F_OK) == 0)
        return 0;
    for (long n = 0; !asked; n += BATCH) {
        for (int i = 0; i < BATCH; i++) {
            char *line = buffer + i * LINE;
            int head = snprintf(line, LINE, "w%04ld %010ld p%ld ", index, n + i, (long)getpid());
            memset(line + head, 'x', LINE - 1 - head);
            line[LINE - 1] = '\n';
        }
        ssize_t done = write(STDOUT_FILENO, buffer, BATCH * LINE);
        if (done == BATCH * LINE)
            *written = n + BATCH;
        else if (!asked)
            return 7;
        if (rate > 0 && !asked)
            nanosleep(&pause, NULL);
    }
    _exit(index + 1);
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    int notes = open(argv[2], O_WRONLY | O_APPEND | O_CLOEXEC);
    long index = atol(argv[3]);
    if (notes < 0 || note(notes, "start", index))
        return 3;
    if (strcmp(argv[1], "exit") == 0)
        return 1;
    if (strcmp(argv[1], "write") == 0) {
        if (argc < 6 || wait_for_go(argv[2]) < 0 || note(notes, "begin", index))
            return 4;
        if (write_lines(index, atol(argv[4]), atol(argv[5])) || note(notes, "end", index))
            return 5;
    }
    if (strcmp(argv[1], "steady") == 0) {
        int failed = argc < 5 ? 2 : write_steadily(argv[2], index, atol(argv[4]));
        if (failed)
            return 100 + failed;
    }
    for (;;)
        pause();
}
