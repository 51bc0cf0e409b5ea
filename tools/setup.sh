# setup.sh - sourced by ./demo and ./check: what a bare Debian 12 needs, installed once.
#
#   setup_packages PACKAGE...   apt packages beside those that every build needs (sudo when not root)
#   setup_python EXTRAS         the venv .venv, with this checkout installed by pip as cropring[EXTRAS]
#   setup_alone PACKAGE...      into .venv, without what they ask for: it is there, and pip would bring another build of it
#
# Each step looks first and does nothing when nothing is to do.

build_packages="build-essential pkg-config cmake ninja-build libjpeg62-turbo-dev libpng-dev libisal-dev liburing-dev libjansson-dev libxxhash-dev
                python3-dev python3-venv"
mkdir -p build
setup_log=build/setup.log

setup_say() {
	printf 'cropring: %s\n' "$*" >&2
}

# Runs a command with its output in the log, and shows the log only if it fails.
setup_run() {
	if ! "$@" >"$setup_log" 2>&1 </dev/null; then
		tail -n 40 "$setup_log" >&2
		setup_say "failed: $*"
		setup_say "the whole output is in $setup_log"
		exit 1
	fi
}

setup_packages() {
	local missing="" installed package as_root=""
	installed=" $(dpkg-query -W -f='${Package}:${db:Status-Status} ' $build_packages "$@" 2>/dev/null || true)"
	for package in $build_packages "$@"; do
		case $installed in
		*" $package:installed "*) ;;
		*) missing="$missing $package" ;;
		esac
	done
	[ -n "$missing" ] || return 0
	if [ "$(id -u)" -ne 0 ]; then
		if ! command -v sudo >/dev/null; then
			setup_say "these packages are missing, and there is no sudo; as root, run: apt-get install$missing"
			exit 1
		fi
		as_root=sudo
	fi
	setup_say "installing packages (once):$missing"
	setup_run $as_root apt-get update
	setup_run $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing
}

setup_python() {
	local extra=$1 stamp=.venv/installed-$1
	if [ ! -e .venv/made ]; then # also after a run that was interrupted
		setup_say "making the Python environment .venv"
		setup_run /usr/bin/python3 -m venv --clear .venv
		setup_run .venv/bin/pip install --disable-pip-version-check 'scikit-build-core>=1.0'
		touch .venv/made
	fi
	if [ ! -e "$stamp" ] ||
	   [ -n "$(find base shmring loader bindings CMakeLists.txt pyproject.toml -newer "$stamp" -print -quit)" ]; then
		setup_say "building and installing cropring into .venv"
		touch .venv/begun
		setup_run .venv/bin/pip install --disable-pip-version-check --no-build-isolation ".[$extra]"
		mv .venv/begun "$stamp"
	fi
}

setup_alone() {
	local stamp=.venv/alone
	if [ "$(cat "$stamp" 2>/dev/null)" != "$*" ]; then
		setup_say "installing $*"
		setup_run .venv/bin/pip install --disable-pip-version-check --no-deps "$@"
		echo "$*" >"$stamp"
	fi
}
