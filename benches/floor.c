/*
 * The least that a sandboxed step can cost: the same system calls as a step of hm, without hm.
 *
 * A step mounts an overlay, enters its own mount, PID, UTS and IPC namespaces, changes its root, mounts /proc and a
 * small /dev, and executes `sh -c COMMAND`. The program then waits for it and throws the writable folder away, or keeps
 * it as the top layer of the next step (-c).
 *
 *   cc -O2 -o floor benches/floor.c
 *   floor -l ROOTFS -w FOLDER [-n STEPS] [-j PARALLEL] [-c] [-N] [-u] [-x COMMAND]
 *
 *   -l  the image: a folder with /bin/sh (several: bottom last, separated by colons)
 *   -w  a folder for the writable layers; what is made in it is removed
 *   -n  number of steps (200)
 *   -j  how many run at once (1); not with -c
 *   -c  chain: each step boots from what the one before left
 *   -N  an own network namespace with the loopback device up
 *   -u  a user namespace with the caller's id only, as without root
 *   -x  the command (true)
 *
 * Prints one line: the wall time a step in milliseconds and the options.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef FSCONFIG_SET_STRING
#define FSCONFIG_SET_FLAG 0
#define FSCONFIG_SET_STRING 1
#define FSCONFIG_CMD_CREATE 6
#endif

struct options {
    const char *image, *folder, *command;
    int steps, parallel, chain, network, user;
};

/* The layers of a chain, oldest first; each is a folder below the work folder. */
static int layers;

static void fail(const char *what)
{
    fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
    _exit(99);
}

static void must(long result, const char *what)
{
    if (result < 0)
        fail(what);
}

static double milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    must(fd, path);
    must(write(fd, text, strlen(text)), path);
    close(fd);
}

static void set(int context, const char *key, const char *value)
{
    must(syscall(SYS_fsconfig, context, value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, key, value, 0), key);
}

static void mount_overlay(const struct options *o, int step)
{
    char name[64], *images = strdup(o->image), *rest = images, *image;
    int context = (int)syscall(SYS_fsopen, "overlay", 1);
    must(context, "fsopen");
    for (int layer = layers - 1; layer >= 0; layer--) {
        snprintf(name, sizeof name, "l%d", layer);
        set(context, "lowerdir+", name);
    }
    while ((image = strsep(&rest, ":")))
        set(context, "lowerdir+", image);
    snprintf(name, sizeof name, "s%d/u", step);
    set(context, "upperdir", name);
    snprintf(name, sizeof name, "s%d/w", step);
    set(context, "workdir", name);
    set(context, "volatile", NULL);
    if (o->user)
        set(context, "userxattr", NULL);
    must(syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0), "fsconfig");
    int mounted = (int)syscall(SYS_fsmount, context, 1, 0);
    must(mounted, "fsmount");
    snprintf(name, sizeof name, "s%d/m", step);
    must(syscall(SYS_move_mount, mounted, "", AT_FDCWD, name, 4), "move_mount");
    close(mounted);
    close(context);
    free(images);
    must(chdir(name), name);
}

static void make_dev(const struct options *o)
{
    static const char *const names[] = {"null", "zero", "full", "random", "urandom", "tty"};
    static const int numbers[][2] = {{1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, {5, 0}};
    char host[32], ours[32];
    must(mount("tmpfs", "dev", "tmpfs", MS_NOSUID, "mode=755"), "mount /dev");
    for (int i = 0; i < 6; i++) {
        snprintf(host, sizeof host, "/dev/%s", names[i]);
        snprintf(ours, sizeof ours, "dev/%s", names[i]);
        dev_t device = (dev_t)numbers[i][0] << 8 | (dev_t)numbers[i][1];
        if (o->user) {
            must(mknod(ours, S_IFREG | 0666, 0), ours);
            must(mount(host, ours, NULL, MS_BIND, NULL), ours);
        } else {
            must(mknod(ours, S_IFCHR | 0666, device), ours);
        }
    }
}

static void loopback_up(void)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    must(fd, "socket");
    must(ioctl(fd, SIOCSIFFLAGS, &request), "SIOCSIFFLAGS");
    close(fd);
}

static void become_step(const struct options *o, int step)
{
    umask(0);
    mount_overlay(o, step);
    must(mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL), "mount /proc");
    make_dev(o);
    must(syscall(SYS_pivot_root, ".", "."), "pivot_root");
    must(umount2(".", MNT_DETACH), "umount2");
    must(chdir("/"), "chdir");
    if (o->network)
        loopback_up();
    char *const arguments[] = {"sh", "-c", (char *)o->command, NULL};
    char *const environment[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL};
    execve("/bin/sh", arguments, environment);
    fail("/bin/sh");
}

static pid_t start(const struct options *o, int step)
{
    char name[64];
    snprintf(name, sizeof name, "s%d", step);
    must(mkdir(name, 0755), name);
    for (const char *part = "uwm"; *part; part++) {
        snprintf(name, sizeof name, "s%d/%c", step, *part);
        must(mkdir(name, 0755), name);
    }
    struct clone_args arguments = {
        .flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | (o->network ? CLONE_NEWNET : 0),
        .exit_signal = SIGCHLD,
    };
    pid_t pid = (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
    must(pid, "clone3");
    if (pid == 0)
        become_step(o, step);
    return pid;
}

static void clean_up(const struct options *o, int step)
{
    static const char *const made[] = {"w/work/incompat/volatile", "w/work/incompat", "w/work", "w", "m"};
    char name[64], layer[64];
    snprintf(name, sizeof name, "s%d/w/work/incompat/volatile/dirty", step);
    must(unlink(name), name);
    for (int i = 0; i < 5; i++) {
        snprintf(name, sizeof name, "s%d/%s", step, made[i]);
        must(rmdir(name), name);
    }
    snprintf(name, sizeof name, "s%d/u", step);
    if (o->chain) {
        snprintf(layer, sizeof layer, "l%d", layers++);
        must(rename(name, layer), layer);
    } else {
        rmdir(name);
    }
    snprintf(name, sizeof name, "s%d", step);
    rmdir(name);
}

static void run(const struct options *o)
{
    pid_t running[64];
    int step_of[64], started = 0, active = 0;
    while (started < o->steps || active) {
        while (started < o->steps && active < o->parallel) {
            running[active] = start(o, started);
            step_of[active++] = started++;
        }
        int status;
        pid_t pid = wait(&status);
        must(pid, "wait");
        if (WIFEXITED(status) && WEXITSTATUS(status) == 99)
            exit(1);
        for (int i = 0; i < active; i++) {
            if (running[i] == pid) {
                clean_up(o, step_of[i]);
                running[i] = running[--active];
                step_of[i] = step_of[active];
                break;
            }
        }
    }
}

static void enter_namespaces(const struct options *o)
{
    char map[64];
    unsigned uid = getuid(), gid = getgid();
    must(unshare(CLONE_NEWNS | (o->user ? CLONE_NEWUSER : 0)), "unshare");
    if (o->user) {
        put("/proc/self/setgroups", "deny");
        snprintf(map, sizeof map, "0 %u 1", uid);
        put("/proc/self/uid_map", map);
        snprintf(map, sizeof map, "0 %u 1", gid);
        put("/proc/self/gid_map", map);
    }
    must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "private mounts");
}

static void remove_layers(void)
{
    char name[64];
    while (layers--) {
        snprintf(name, sizeof name, "l%d", layers);
        rmdir(name);
    }
}

int main(int count, char **arguments)
{
    struct options o = {.command = "true", .steps = 200, .parallel = 1};
    int option;
    while ((option = getopt(count, arguments, "l:w:n:j:x:cNu")) > 0) {
        switch (option) {
        case 'l': o.image = optarg; break;
        case 'w': o.folder = optarg; break;
        case 'n': o.steps = atoi(optarg); break;
        case 'j': o.parallel = atoi(optarg); break;
        case 'x': o.command = optarg; break;
        case 'c': o.chain = 1; break;
        case 'N': o.network = 1; break;
        case 'u': o.user = 1; break;
        default: return 2;
        }
    }
    if (!o.image || !o.folder || o.parallel < 1 || o.parallel > 64 || o.steps < 1 || (o.chain && o.parallel > 1)) {
        fprintf(stderr, "usage: floor -l ROOTFS -w FOLDER [-n STEPS] [-j 1..64] [-c] [-N] [-u] [-x COMMAND]\n");
        return 2;
    }
    if (o.image[0] != '/') {
        fprintf(stderr, "floor: -l takes an absolute path\n");
        return 2;
    }
    mkdir(o.folder, 0755);
    must(chdir(o.folder), o.folder);
    enter_namespaces(&o);
    double before = milliseconds();
    run(&o);
    double after = milliseconds();
    printf("%.3f ms/step (steps=%d parallel=%d chain=%d network=%d user=%d)\n", (after - before) / o.steps, o.steps,
           o.parallel, o.chain, o.network, o.user);
    remove_layers();
    return 0;
}
