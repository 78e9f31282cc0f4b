/* Counts what a program does between two signals that it sends itself: SIGUSR1 begins, SIGUSR2 ends.
 *
 *     count calls|instructions PROGRAM [ARGUMENT...]
 *
 * "calls" are system calls, "instructions" those of user mode, stepped one by one: some 300,000 a
 * second. Neither depends on how fast or how busy the machine is. The sum of all such spans goes to
 * standard output as a line of its own, behind what the program writes there. */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#define SYSTEM_CALL_STOP (SIGTRAP | 0x80)

static void fail(const char *what)
{
    fprintf(stderr, "count: %s: %s\n", what, strerror(errno));
    exit(2);
}

static void start(char **program)
{
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        fail("this machine lets nobody be traced");
    execvp(program[0], program);
    fail(program[0]);
}

/* A system call stops twice, at its begin and at its end. */
static long count_until_end(pid_t child, int resume, int *status)
{
    int begins_only = resume == PTRACE_SYSCALL ? 2 : 1;
    int request = PTRACE_CONT, pass_on = 0;
    long stops = 0;

    for (;;) {
        if (ptrace(request, child, NULL, (void *)(long)pass_on) != 0)
            fail("the program cannot be resumed");
        if (waitpid(child, status, 0) != child)
            fail("the program is gone");
        if (!WIFSTOPPED(*status))
            return stops / begins_only;
        int stop = WSTOPSIG(*status);
        pass_on = 0;
        if (stop == SIGUSR1)
            request = resume;
        else if (stop == SIGUSR2)
            request = PTRACE_CONT;
        else if (stop == SYSTEM_CALL_STOP || (stop == SIGTRAP && request != PTRACE_CONT))
            stops++;
        else if (stop != SIGTRAP)
            pass_on = stop;
    }
}

int main(int argc, char **argv)
{
    int status, by_step;
    pid_t child;

    if (argc < 3 || (strcmp(argv[1], "calls") != 0 && strcmp(argv[1], "instructions") != 0)) {
        fprintf(stderr, "usage: count calls|instructions PROGRAM [ARGUMENT...]\n");
        return 2;
    }
    by_step = argv[1][0] == 'i';
    child = fork();
    if (child == 0)
        start(argv + 2);
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFSTOPPED(status))
        fail("the program does not start");
    if (ptrace(PTRACE_SETOPTIONS, child, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) != 0)
        fail("the program cannot be traced");
    long counted = count_until_end(child, by_step ? PTRACE_SINGLESTEP : PTRACE_SYSCALL, &status);
    printf("%ld\n", counted);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 2;
}
