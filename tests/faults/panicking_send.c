// A shim for send() and writev(): the call to a provider whose number the file $PANIC_AT gives, counted from when the file
// was written, returns more than it was given, at which the writer panics. Sends to clients, which use TLS, are left alone:
// a buffer with a wrong count panics again when it is dropped, and a panic during a panic aborts the process.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
static int count;
static ssize_t report(ssize_t sent, unsigned char first) {
    const char *path = getenv("PANIC_AT");
    char name[16] = "";
    prctl(PR_GET_NAME, name);
    int at = 0;
    if (strcmp(name, "serve") || (first >= 0x14 && first <= 0x17)) return sent;
    FILE *file = fopen(path, "r");
    if (!file) return sent;
    if (fscanf(file, "%d", &at) != 1) at = 0;
    fclose(file);
    if (__sync_add_and_fetch(&count, 1) != at) return sent;
    count = 0;
    return unlink(path) == 0 && sent > 0 ? sent + 1000000 : sent;
}
ssize_t send(int socket, const void *bytes, size_t size, int flags) {
    ssize_t (*real)(int, const void *, size_t, int) = dlsym(RTLD_NEXT, "send");
    ssize_t sent = real(socket, bytes, size, flags);
    return report(sent, size ? *(const unsigned char *)bytes : 0x16);
}
ssize_t writev(int file, const struct iovec *parts, int count) {
    ssize_t (*real)(int, const struct iovec *, int) = dlsym(RTLD_NEXT, "writev");
    ssize_t sent = real(file, parts, count);
    return report(sent, count && parts[0].iov_len ? *(const unsigned char *)parts[0].iov_base : 0x16);
}
