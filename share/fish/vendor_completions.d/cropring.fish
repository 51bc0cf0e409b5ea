# Completion of `cropring` for fish: what `cropring completion fish` prints.
function __cropring_complete
	set -l words (commandline -opc)
	set -l typed (commandline -ct)
	set -l flag (string match -r -- '^--[^=]+=' $typed)
	for line in (command $words[1] completion words -- $words[2..-1] "$typed" 2>/dev/null)
		if test "$line" = :files
			__fish_complete_path (string replace -r -- '^--[^=]+=' '' "$typed") | string replace -r -- '^' "$flag"
		else
			echo $line
		end
	end
end
complete -c cropring -f -a '(__cropring_complete)'
