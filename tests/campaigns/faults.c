// A file system that fails when told to, put in front of a program by LD_PRELOAD. Calls that change files
// below one directory are counted, and one of them goes wrong:
//
//   FAULTS_UNDER  the directory, absolute
//   FAULTS_AT     the number of the call, from 1; without it calls are only counted
//   FAULTS_WAY    ENOSPC EIO EINTR  it fails with that error and does nothing
//                 full              it and all later ones fail with ENOSPC
//                 short             it writes the first half
//                 delay             it takes 100 ms longer
//                 before after      the process is killed before or after it
//                 torn              the process is killed when it has written the first half
//                 SIGINT SIGTERM    the process gets that signal before it
//   FAULTS_LOG    a file that gets a line for each call: number, name, offset, size, path and, of a rename,
//   the
//                 other path, between tabs
//   FAULTS_DATA   a file that gets what is written, one call after another
//
// Children of the process are left alone. Calls that the C library makes within itself, in fopen's open and
// fflush's write, do not come by here; fopen itself does.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum way { DO, FAIL, SHORT, DELAY, BEFORE, AFTER, TORN, SIGNAL };

static const char* under;
static long at, calls;
static enum way way;
static int failure, full, log_file = -1, data_file = -1;
static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;

static int append_to(const char* variable) {
  const char* path = getenv(variable);
  return path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)
              : -1;
}

__attribute__((constructor)) static void begin(void) {
  static const struct {
    const char* name;
    enum way way;
    int number, full;  // of the error, or of the signal
  } ways[] = {{"ENOSPC", FAIL, ENOSPC, 0},   {"EIO", FAIL, EIO, 0},          {"EINTR", FAIL, EINTR, 0},
              {"full", FAIL, ENOSPC, 1},     {"short", SHORT, 0, 0},         {"delay", DELAY, 0, 0},
              {"before", BEFORE, 0, 0},      {"after", AFTER, 0, 0},         {"torn", TORN, 0, 0},
              {"SIGINT", SIGNAL, SIGINT, 0}, {"SIGTERM", SIGNAL, SIGTERM, 0}};
  under = getenv("FAULTS_UNDER");
  const char *number = getenv("FAULTS_AT"), *name = getenv("FAULTS_WAY");
  for (size_t i = 0; number && name && i < sizeof ways / sizeof *ways; ++i)
    if (!strcmp(name, ways[i].name))
      at = atol(number), way = ways[i].way, failure = ways[i].number, full = ways[i].full;
  if (number && !at) abort();
  log_file = append_to("FAULTS_LOG");
  data_file = append_to("FAULTS_DATA");
  unsetenv("LD_PRELOAD");
}

static void die(void) {
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

static int is_under(const char* path) {
  const size_t n = under ? strlen(under) : 0;
  return n && !strncmp(path, under, n) && (path[n] == '/' || path[n] == '\0');
}

/// The path from the root, of a name as calls take it.
static const char* whole(int directory, const char* path, char out[PATH_MAX]) {
  char link[64], base[PATH_MAX];
  if (path[0] == '/') return path;
  if (directory == AT_FDCWD)
    strcpy(link, "/proc/self/cwd");
  else
    snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
  const ssize_t n = readlink(link, base, sizeof base - 1);
  base[n < 0 ? 0 : n] = '\0';
  return snprintf(out, PATH_MAX, "%s/%s", base, path) < PATH_MAX ? out : "";
}

/// What becomes of a call, which is counted and noted. Data is NULL unless it writes some.
static enum way meets(const char* call, const char* path, const char* other, off_t offset, size_t size,
                      const struct iovec* data, int parts) {
  if (!is_under(path)) return DO;
  pthread_mutex_lock(&one);
  const long n = ++calls;
  char line[2 * PATH_MAX + 128];
  const int length = snprintf(line, sizeof line, "%ld\t%s\t%ld\t%zu\t%s\t%s\n", n, call, (long)offset, size,
                              path, other ? other : "");
  if (log_file >= 0) syscall(SYS_write, log_file, line, length);
  if (data_file >= 0 && data) syscall(SYS_writev, data_file, data, parts);
  pthread_mutex_unlock(&one);
  const enum way met = at && (n == at || (full && n > at)) ? way : DO;
  if (met == BEFORE) die();
  if (met == SIGNAL) kill(getpid(), failure);
  if (met == DELAY) nanosleep(&(struct timespec){0, 100000000}, NULL);
  return met;
}

static long done(enum way met, long result) {
  const int kept = errno;
  if (met == AFTER) die();
  errno = kept;
  return result;
}

// ---- by path ----

/// Does a call unless it is to fail; `otherwise` is what it returns then.
#define UNLESS_IT_FAILS(call, path, other, size, otherwise, result)          \
  const enum way met = meets(call, path, other, 0, (size_t)(size), NULL, 0); \
  if (met == FAIL) return errno = failure, otherwise;                        \
  return done(met, result)

static int opening(int directory, const char* path, int flags, mode_t mode) {
  char text[PATH_MAX];
  if (!(flags & O_CREAT)) return (int)syscall(SYS_openat, directory, path, flags, mode);
  UNLESS_IT_FAILS("open", whole(directory, path, text), NULL, (flags & O_TRUNC) != 0, -1,
                  (int)syscall(SYS_openat, directory, path, flags, mode));
}

#define MODE(flags)                        \
  mode_t mode = 0;                         \
  if ((flags) & (O_CREAT | __O_TMPFILE)) { \
    va_list rest;                          \
    va_start(rest, flags);                 \
    mode = va_arg(rest, mode_t);           \
    va_end(rest);                          \
  }

int open(const char* path, int flags, ...) {
  MODE(flags)
  return opening(AT_FDCWD, path, flags, mode);
}
int open64(const char* path, int flags, ...) {
  MODE(flags)
  return opening(AT_FDCWD, path, flags, mode);
}
int openat(int directory, const char* path, int flags, ...) {
  MODE(flags)
  return opening(directory, path, flags, mode);
}
int openat64(int directory, const char* path, int flags, ...) {
  MODE(flags)
  return opening(directory, path, flags, mode);
}

static FILE* opened_stream(const char* symbol, const char* path, const char* how) {
  FILE* (*next)(const char*, const char*) = (FILE * (*)(const char*, const char*)) dlsym(RTLD_NEXT, symbol);
  char text[PATH_MAX];
  if (how[0] == 'r' && !strchr(how, '+')) return next(path, how);
  const enum way met = meets("open", whole(AT_FDCWD, path, text), NULL, 0, how[0] == 'w', NULL, 0);
  if (met == FAIL) return errno = failure, NULL;
  FILE* result = next(path, how);
  if (met == AFTER) die();
  return result;
}
FILE* fopen(const char* path, const char* how) { return opened_stream("fopen", path, how); }
FILE* fopen64(const char* path, const char* how) { return opened_stream("fopen64", path, how); }

int renameat2(int from_directory, const char* from, int to_directory, const char* to, unsigned flags) {
  char a[PATH_MAX], b[PATH_MAX];
  UNLESS_IT_FAILS("rename", whole(from_directory, from, a), whole(to_directory, to, b), 0, -1,
                  (int)syscall(SYS_renameat2, from_directory, from, to_directory, to, flags));
}
int renameat(int from_directory, const char* from, int to_directory, const char* to) {
  return renameat2(from_directory, from, to_directory, to, 0);
}
int rename(const char* from, const char* to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }

int unlinkat(int directory, const char* path, int flags) {
  char text[PATH_MAX];
  UNLESS_IT_FAILS("unlink", whole(directory, path, text), NULL, 0, -1,
                  (int)syscall(SYS_unlinkat, directory, path, flags));
}
int unlink(const char* path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char* path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int remove(const char* path) {
  struct stat file;
  const int directory = lstat(path, &file) == 0 && S_ISDIR(file.st_mode);
  return unlinkat(AT_FDCWD, path, directory ? AT_REMOVEDIR : 0);
}

int mkdirat(int directory, const char* path, mode_t mode) {
  char text[PATH_MAX];
  UNLESS_IT_FAILS("mkdir", whole(directory, path, text), NULL, 0, -1,
                  (int)syscall(SYS_mkdirat, directory, path, mode));
}
int mkdir(const char* path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

int truncate(const char* path, off_t size) {
  char text[PATH_MAX];
  UNLESS_IT_FAILS("truncate", whole(AT_FDCWD, path, text), NULL, size, -1,
                  (int)syscall(SYS_truncate, path, size));
}
int truncate64(const char* path, off_t size) { return truncate(path, size); }

// ---- by descriptor ----

static const char* path_of(int file, char out[PATH_MAX]) {
  char link[64];
  if (file == STDOUT_FILENO || file == STDERR_FILENO) return "";
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  const ssize_t n = readlink(link, out, PATH_MAX - 1);
  out[n < 0 ? 0 : n] = '\0';
  return out;
}

static off_t end_or_place(int file) {
  struct stat now;
  if (fcntl(file, F_GETFL) & O_APPEND) return fstat(file, &now) == 0 ? now.st_size : 0;
  return lseek(file, 0, SEEK_CUR);
}

/// Writes at `offset`, or where the file stands if that is negative.
static ssize_t writing(int file, const struct iovec* data, int parts, off_t offset) {
  char text[PATH_MAX];
  const char* path = path_of(file, text);
  size_t size = 0;
  for (int i = 0; i < parts; ++i) size += data[i].iov_len;
  const enum way met = meets("write", path, NULL, offset < 0 && is_under(path) ? end_or_place(file) : offset,
                             size, data, parts);
  if (met == FAIL) return errno = failure, -1;
  struct iovec half = {data ? data[0].iov_base : NULL, parts ? data[0].iov_len : 0};
  if (met == SHORT || met == TORN) half.iov_len = (half.iov_len + 1) / 2, data = &half, parts = 1;
  const ssize_t result = offset < 0 ? syscall(SYS_writev, file, data, parts)
                                    : syscall(SYS_pwritev, file, data, parts, (long)offset, 0L);
  if (met == TORN) die();
  return done(met, result);
}

ssize_t write(int file, const void* data, size_t size) {
  return writing(file, &(struct iovec){(void*)data, size}, 1, -1);
}
ssize_t writev(int file, const struct iovec* data, int parts) { return writing(file, data, parts, -1); }
ssize_t pwrite(int file, const void* data, size_t size, off_t offset) {
  return writing(file, &(struct iovec){(void*)data, size}, 1, offset);
}
ssize_t pwrite64(int file, const void* data, size_t size, off_t offset) {
  return pwrite(file, data, size, offset);
}

int fsync(int file) {
  char text[PATH_MAX];
  UNLESS_IT_FAILS("fsync", path_of(file, text), NULL, 0, -1, (int)syscall(SYS_fsync, file));
}
int fdatasync(int file) {
  char text[PATH_MAX];
  UNLESS_IT_FAILS("fsync", path_of(file, text), NULL, 0, -1, (int)syscall(SYS_fdatasync, file));
}

int ftruncate(int file, off_t size) {
  char text[PATH_MAX];
  UNLESS_IT_FAILS("truncate", path_of(file, text), NULL, size, -1, (int)syscall(SYS_ftruncate, file, size));
}
int ftruncate64(int file, off_t size) { return ftruncate(file, size); }

/// A close that fails has closed the file.
int close(int file) {
  char text[PATH_MAX];
  const char* path = path_of(file, text);
  const int writes = is_under(path) && (fcntl(file, F_GETFL) & O_ACCMODE) != O_RDONLY;
  const enum way met = writes ? meets("close", path, NULL, 0, 0, NULL, 0) : DO;
  const int result = (int)syscall(SYS_close, file);
  if (met == FAIL) return errno = failure, -1;
  return (int)done(met, result);
}
