/*
 * python_command.c - a command that the Python package has: its words in, Python in place of this process out.
 *
 * Who typed `cropring` in a virtual environment has been with Python already: its `cropring` keeps these commands to itself
 * (bindings/cropring/_cli.py).  Here come those that met the executable first.
 */
#include "loader/shell/python_command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loader/run/serve.h"

/*
 * Python's own way to become `python3 -m cropring` with our words, in a process that does not look for packages in the folder that
 * it happens to run in.  A package that knows nothing of these commands would start this executable again, and so on for ever.
 */
static char program[] =
	"import sys\n"
	"if sys.path[:1] == ['']: del sys.path[0]\n"
	"try:\n"
	"    from cropring._cli import PYTHON_COMMANDS, main\n"
	"except ImportError as error:\n"
	"    sys.stderr.write(f'cropring: {sys.argv[1]} is a Python program, and {sys.executable} lacks the package that has it"
	" ({error}): pip install cropring[top,plot,sheet]\\n')\n"
	"    sys.exit(1)\n"
	"main()\n";

int python_command(int argc, char **argv)
{
	static char python[] = "python3", option[] = "-c";
	char **words = calloc((size_t)argc + 4, sizeof *words);

	if (!words) {
		fprintf(stderr, "cropring: %s: %s\n", argv[0], strerror(ENOMEM));
		return EXIT_FAILED;
	}
	words[0] = python;
	words[1] = option;
	words[2] = program;
	memcpy(words + 3, argv, (size_t)argc * sizeof *words);
	execvp(python, words);
	fprintf(stderr,
	        "cropring: %s is a Python program, and python3 does not start (%s): install Python 3.11 or later, "
	        "then: pip install cropring[top,plot,sheet]\n",
	        argv[0], strerror(errno));
	free(words);
	return EXIT_FAILED;
}
