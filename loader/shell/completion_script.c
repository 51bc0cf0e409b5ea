/* completion_script.c - the scripts of completion.h: each asks `cropring completion words -- WORD...` for what it offers. */
#include "loader/shell/completion.h"

const char *const completion_shells[SHELL_COUNT] = {"bash", "zsh", "fish"};

const char *const completion_scripts[SHELL_COUNT] = {
	[SHELL_BASH] = "# Completion of `cropring` for bash: what `cropring completion bash` prints.\n"
		       "_cropring() {\n"
		       "\tlocal word about\n"
		       "\tCOMPREPLY=()\n"
		       "\twhile IFS=$'\\t' read -r word about; do\n"
		       "\t\tif [[ $word == :files ]]; then\n"
		       "\t\t\tcompopt -o default\n"
		       "\t\telse\n"
		       "\t\t\tCOMPREPLY+=(\"$word\")\n"
		       "\t\tfi\n"
		       "\tdone < <(\"$1\" completion words -- \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null)\n"
		       "}\n"
		       "complete -F _cropring cropring\n",

	[SHELL_ZSH] = "#compdef cropring\n"
		      "# Completion of `cropring` for zsh: what `cropring completion zsh` prints.\n"
		      "_cropring() {\n"
		      "\tlocal word about files=\n"
		      "\tlocal -a typed found\n"
		      "\ttyped=(\"${(@)words[2,CURRENT-1]}\")\n"
		      "\tif [[ $PREFIX == --*=* ]]; then\n"
		      "\t\ttyped+=(\"${PREFIX%%=*}\" =)\n"
		      "\t\tcompset -P '*='\n"
		      "\tfi\n"
		      "\twhile IFS=$'\\t' read -r word about; do\n"
		      "\t\tcase $word in\n"
		      "\t\t(:files) files=yes ;;\n"
		      "\t\t(*) found+=(\"${word//:/\\\\:}${about:+:$about}\") ;;\n"
		      "\t\tesac\n"
		      "\tdone < <(\"$words[1]\" completion words -- \"${typed[@]}\" \"$PREFIX\" 2>/dev/null)\n"
		      "\t(( $#found )) && _describe -t words word found\n"
		      "\t[[ -n $files ]] && _files\n"
		      "}\n"
		      "if [[ $funcstack[1] == _cropring ]]; then\n"
		      "\t_cropring \"$@\"\n"
		      "else\n"
		      "\tcompdef _cropring cropring\n"
		      "fi\n",

	[SHELL_FISH] =
		"# Completion of `cropring` for fish: what `cropring completion fish` prints.\n"
		"function __cropring_complete\n"
		"\tset -l words (commandline -opc)\n"
		"\tset -l typed (commandline -ct)\n"
		"\tset -l flag (string match -r -- '^--[^=]+=' $typed)\n"
		"\tfor line in (command $words[1] completion words -- $words[2..-1] \"$typed\" 2>/dev/null)\n"
		"\t\tif test \"$line\" = :files\n"
		"\t\t\t__fish_complete_path (string replace -r -- '^--[^=]+=' '' \"$typed\") | string replace -r -- '^' \"$flag\"\n"
		"\t\telse\n"
		"\t\t\techo $line\n"
		"\t\tend\n"
		"\tend\n"
		"end\n"
		"complete -c cropring -f -a '(__cropring_complete)'\n",
};
