/* Records what a process writes below one folder, and what it flushes to disk.
 *
 * Loaded with LD_PRELOAD. It sits between the program and the C library, does what the program asks,
 * and appends a record of it to a trace. The trace is not below the folder, and survives SIGKILL as
 * the page cache does. From the records, trace.rs rebuilds what a disk may hold after a power loss:
 * all that was written before a completed fsync, and any part of what was written since.
 *
 * DISK_FOLDER   the folder, an absolute path without links
 * DISK_TRACE    the trace
 * DISK_DELAY    most microseconds that a flush takes longer (0)
 * DISK_ORDERS   a file that may hold one order for each line:
 *               "ignore SUFFIX"  flushes of files whose path ends so do nothing and report success
 *               "fail SUFFIX"    flushes of such files fail with EIO, as on a broken disk
 *               "once SUFFIX"    one flush of such a file fails so, and there are no orders after that
 *
 * A call that writes below the folder in a way that is not understood here is recorded as UNKNOWN,
 * and fails the test: a trace with a gap proves nothing.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { CREATE = 1, FOLDER, WRITE, TRUNCATE, SYNC_BEGIN, SYNC_END, SYNC_FAILED, UNLINK, RENAME, UNKNOWN, LINK };

struct record {
    uint32_t magic, kind;
    uint64_t file;        /* inode */
    uint64_t offset;      /* WRITE: where; TRUNCATE: the new length; SYNC_*: which sync */
    uint32_t path_length; /* of the path, relative to the folder */
    uint32_t data_length; /* WRITE: the bytes; RENAME, LINK: the new path; UNKNOWN: the call */
};

static char folder[PATH_MAX];
static size_t folder_length;
static const char *orders;
static long delay;
static int trace = -1;
static _Atomic uint32_t syncs;

/* The next definition of a function: the C library's. */
#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void start(void) {
    const char *given = getenv("DISK_FOLDER"), *path = getenv("DISK_TRACE"), *most = getenv("DISK_DELAY");
    if (!given || !path) return;
    snprintf(folder, sizeof folder, "%s/", given);
    orders = getenv("DISK_ORDERS");
    delay = most ? atol(most) : 0;
    __typeof__(&open) real_open = (__typeof__(&open))dlsym(RTLD_NEXT, "open");
    trace = real_open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (trace < 0) abort();
    folder_length = strlen(folder);
}

static void record(enum kind kind, uint64_t file, uint64_t offset, const char *path, const void *data, size_t length) {
    int saved = errno;
    struct record head = {0x4b534944, kind, file, offset, (uint32_t)strlen(path), (uint32_t)length};
    struct iovec parts[3] = {{&head, sizeof head}, {(void *)path, head.path_length}, {(void *)data, length}};
    /* One call: records of several threads and processes do not mix. */
    __typeof__(&writev) real_writev = (__typeof__(&writev))dlsym(RTLD_NEXT, "writev");
    if (real_writev(trace, parts, 3) != (ssize_t)(sizeof head + head.path_length + length)) abort();
    errno = saved;
}

/* The part of an absolute path below the folder, "" for the folder itself, or NULL. */
static const char *below(const char *path) {
    if (!folder_length || !path) return NULL;
    if (!strncmp(path, folder, folder_length)) return path + folder_length;
    return strlen(path) == folder_length - 1 && !strncmp(path, folder, folder_length - 1) ? "" : NULL;
}

struct place { char path[PATH_MAX]; const char *name; uint64_t file; off_t size; int is_folder; };

/* Whether an open file is below the folder, and which it is. */
static int find(int fd, struct place *place) {
    char link[32];
    struct stat stat;
    int saved = errno;
    if (!folder_length || fd == trace) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, place->path, sizeof place->path - 1);
    int is_found = 0;
    if (length > 0 && place->path[0] == '/') {
        place->path[length] = 0;
        place->name = below(place->path);
        is_found = place->name && !fstat(fd, &stat) && (S_ISREG(stat.st_mode) || S_ISDIR(stat.st_mode));
        if (is_found) {
            place->file = stat.st_ino;
            place->size = stat.st_size;
            place->is_folder = S_ISDIR(stat.st_mode);
        }
    }
    errno = saved;
    return is_found;
}

/* The wal-index: it is mapped into memory, made again after a crash, and never flushed. */
static int is_shared_memory(const char *name) {
    size_t length = strlen(name);
    return length >= 4 && !strcmp(name + length - 4, "-shm");
}

/* Whether there is an order of this kind for a path. Read each time: a test gives orders while the program runs. */
static int is_ordered(const char *kind, const char *name) {
    char text[1024], *rest = text, *line;
    if (!orders) return 0;
    __typeof__(&open) real_open = (__typeof__(&open))dlsym(RTLD_NEXT, "open");
    int fd = real_open(orders, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    if (length <= 0) return 0;
    text[length] = 0;
    while ((line = strsep(&rest, "\n"))) {
        char *suffix = strchr(line, ' ');
        if (!suffix) continue;
        *suffix++ = 0;
        size_t have = strlen(name), want = strlen(suffix);
        if (!strcmp(line, kind) && have >= want && !strcmp(name + have - want, suffix)) return 1;
    }
    return 0;
}

/* One of several threads finds the order. */
static int is_once(const char *name) {
    char used[PATH_MAX];
    if (!is_ordered("once", name)) return 0;
    snprintf(used, sizeof used, "%s.done", orders);
    __typeof__(&rename) real_rename = (__typeof__(&rename))dlsym(RTLD_NEXT, "rename");
    return !real_rename(orders, used);
}

static void wait_a_moment(uint32_t sync) {
    if (delay > 0) usleep((useconds_t)((sync * 2654435761u) % (uint32_t)delay));
}

/* A write that comes after the flush began may not be covered: only what was recorded before SYNC_BEGIN is. */
static int flush(int fd, int (*real)(int)) {
    struct place place;
    if (!find(fd, &place) || is_shared_memory(place.name)) return real(fd);
    if (is_ordered("ignore", place.name)) return 0;
    uint32_t sync = atomic_fetch_add(&syncs, 1);
    uint64_t name = (uint64_t)getpid() << 32 | sync;
    record(SYNC_BEGIN, place.file, name, place.name, NULL, 0);
    wait_a_moment(sync);
    if (is_ordered("fail", place.name) || is_once(place.name)) {
        record(SYNC_FAILED, place.file, name, place.name, NULL, 0);
        errno = EIO;
        return -1;
    }
    int result = real(fd);
    record(result ? SYNC_FAILED : SYNC_END, place.file, name, place.name, NULL, 0);
    return result;
}

int fsync(int fd) { REAL(fsync); return flush(fd, real); }
int fdatasync(int fd) { REAL(fdatasync); return flush(fd, real); }

static void wrote(int fd, const void *bytes, ssize_t count, off_t offset) {
    struct place place;
    if (count > 0 && find(fd, &place) && !is_shared_memory(place.name)) {
        record(WRITE, place.file, (uint64_t)offset, place.name, bytes, (size_t)count);
    }
}

ssize_t write(int fd, const void *bytes, size_t count) {
    REAL(write);
    ssize_t done = real(fd, bytes, count);
    if (done > 0 && folder_length && fd != trace) {
        off_t end = lseek(fd, 0, SEEK_CUR);
        if (end >= 0) wrote(fd, bytes, done, end - done);
    }
    return done;
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
    REAL(pwrite);
    ssize_t done = real(fd, bytes, count, offset);
    wrote(fd, bytes, done, offset);
    return done;
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
    REAL(pwrite64);
    ssize_t done = real(fd, bytes, count, offset);
    wrote(fd, bytes, done, offset);
    return done;
}

static int truncated(int fd, off_t length, int result) {
    struct place place;
    if (!result && find(fd, &place) && !is_shared_memory(place.name)) {
        record(TRUNCATE, place.file, (uint64_t)length, place.name, NULL, 0);
    }
    return result;
}

int ftruncate(int fd, off_t length) { REAL(ftruncate); return truncated(fd, length, real(fd, length)); }
int ftruncate64(int fd, off64_t length) { REAL(ftruncate64); return truncated(fd, length, real(fd, length)); }

/* What is not understood. */
static void unknown(int fd, const char *call) {
    struct place place;
    if (find(fd, &place) && !is_shared_memory(place.name)) {
        record(UNKNOWN, place.file, 0, place.name, call, strlen(call));
    }
}

ssize_t writev(int fd, const struct iovec *parts, int count) { REAL(writev); unknown(fd, "writev"); return real(fd, parts, count); }
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    REAL(pwritev); unknown(fd, "pwritev"); return real(fd, parts, count, offset);
}
ssize_t copy_file_range(int from, off64_t *at, int to, off64_t *where, size_t count, unsigned flags) {
    REAL(copy_file_range); unknown(to, "copy_file_range"); return real(from, at, to, where, count, flags);
}
int fallocate(int fd, int mode, off_t offset, off_t length) {
    REAL(fallocate); unknown(fd, "fallocate"); return real(fd, mode, offset, length);
}
int posix_fallocate(int fd, off_t offset, off_t length) {
    REAL(posix_fallocate); unknown(fd, "posix_fallocate"); return real(fd, offset, length);
}
void *mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset) {
    REAL(mmap);
    if (fd >= 0 && (protection & PROT_WRITE) && (flags & MAP_SHARED)) unknown(fd, "mmap");
    return real(at, length, protection, flags, fd, offset);
}
void *mmap64(void *at, size_t length, int protection, int flags, int fd, off64_t offset) {
    REAL(mmap64);
    if (fd >= 0 && (protection & PROT_WRITE) && (flags & MAP_SHARED)) unknown(fd, "mmap64");
    return real(at, length, protection, flags, fd, offset);
}

static int opened(int fd, const char *path, int flags, int existed) {
    const char *name = below(path);
    struct stat stat;
    if (fd < 0 || !name || is_shared_memory(name) || fstat(fd, &stat)) return fd;
    if (!existed && (flags & O_CREAT)) record(CREATE, stat.st_ino, 0, name, NULL, 0);
    if (existed && (flags & O_TRUNC)) record(TRUNCATE, stat.st_ino, 0, name, NULL, 0);
    return fd;
}

static int exists(const char *path) {
    int saved = errno, result = below(path) && !access(path, F_OK);
    errno = saved;
    return result;
}

#define MODE(flags) mode_t mode = 0; \
    if ((flags) & (O_CREAT | __O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); }

int open(const char *path, int flags, ...) {
    REAL(open); MODE(flags); int existed = exists(path);
    return opened(real(path, flags, mode), path, flags, existed);
}
int open64(const char *path, int flags, ...) {
    REAL(open64); MODE(flags); int existed = exists(path);
    return opened(real(path, flags, mode), path, flags, existed);
}
int openat(int at, const char *path, int flags, ...) {
    REAL(openat); MODE(flags); int existed = exists(path);
    return opened(real(at, path, flags, mode), path, flags, existed);
}
int openat64(int at, const char *path, int flags, ...) {
    REAL(openat64); MODE(flags); int existed = exists(path);
    return opened(real(at, path, flags, mode), path, flags, existed);
}

int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    struct stat stat;
    int result = real(path, mode);
    if (!result && below(path) && !lstat(path, &stat)) record(FOLDER, stat.st_ino, 0, below(path), NULL, 0);
    return result;
}

static int unlinked(const char *path, int result) {
    if (!result && below(path) && !is_shared_memory(path)) record(UNLINK, 0, 0, below(path), NULL, 0);
    return result;
}

int unlink(const char *path) { REAL(unlink); return unlinked(path, real(path)); }
int unlinkat(int at, const char *path, int flags) { REAL(unlinkat); return unlinked(path, real(at, path, flags)); }

static int named(enum kind kind, const char *from, const char *to, int result) {
    if (!result && (below(from) || below(to))) {
        if (below(from) && below(to)) record(kind, 0, 0, below(from), below(to), strlen(below(to)));
        else record(UNKNOWN, 0, 0, "", "a name elsewhere", 16);
    }
    return result;
}

int rename(const char *from, const char *to) { REAL(rename); return named(RENAME, from, to, real(from, to)); }
int link(const char *from, const char *to) { REAL(link); return named(LINK, from, to, real(from, to)); }
int linkat(int from_at, const char *from, int to_at, const char *to, int flags) {
    REAL(linkat); return named(LINK, from, to, real(from_at, from, to_at, to, flags));
}
int renameat(int from_at, const char *from, int to_at, const char *to) {
    REAL(renameat); return named(RENAME, from, to, real(from_at, from, to_at, to));
}
int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
    REAL(renameat2); return named(RENAME, from, to, real(from_at, from, to_at, to, flags));
}
