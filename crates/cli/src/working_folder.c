// A working folder that was deleted under its shell. MKL, a part of libtorch, asks for the folder's path while it is
// loaded, and where there is none it ends the program before `main`. So the program leaves such a folder before its
// libraries initialise themselves, and goes back after them; then it is as any other program is there, and takes absolute
// paths.
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

// The system calls what lies in this section before the constructors of any library.
__attribute__((section(".preinit_array"), used)) static void (*const before_libraries)(void) = leave_deleted_folder;

// The program's own constructors come after those of its libraries.
__attribute__((constructor)) static void go_back(void) {
  if (deleted_folder < 0) return;
  if (fchdir(deleted_folder) != 0) _exit(1);
  close(deleted_folder);
}
