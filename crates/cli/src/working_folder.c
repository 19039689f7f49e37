// Handles a working folder that was deleted while the shell was in it. MKL, a part of libtorch, asks for the folder's
// path while it is loaded, and if there is no path it ends the program before `main`. The program therefore leaves such
// a folder before its libraries are initialised, and returns afterwards. It then behaves like any other program in such
// a folder, and accepts absolute paths.
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

static int deleted_folder = -1;

static void leave_deleted_folder(void) {
  char path[PATH_MAX];
  if (getcwd(path, sizeof path)) return;
  int folder = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (folder >= 0 && chdir("/") == 0) deleted_folder = folder;
}

// The system calls the functions in this section before the constructors of any library.
__attribute__((section(".preinit_array"), used)) static void (*const before_libraries)(void) = leave_deleted_folder;

// The program's own constructors run after those of its libraries.
__attribute__((constructor)) static void go_back(void) {
  if (deleted_folder < 0) return;
  if (fchdir(deleted_folder) != 0) _exit(1);
  close(deleted_folder);
}
