# shellcheck shell=bash
# Sourced: Debian packages, with all that they depend on, unpacked in a folder and not installed.
# Whoever sources it has a function `fail MESSAGE`, which ends the script.

# The first one among this machine's sources, which need not have been updated; none on others than
# Debian.
debian_mirror() {
  grep -qsx 'ID=debian' /etc/os-release || return 0
  apt-get --print-uris update 2>/dev/null | sed -n "s#^'\\(.*debian.*\\)/dists/.*#\\1#p" |
    grep -v security | head -n 1 || true
}

# download_debian_packages FOLDER ARCHITECTURE RELEASE PACKAGE...
#
# From the Debian mirror that this machine's apt uses, as any user, into FOLDER/archives. RELEASE is
# a name such as trixie, or - for this machine's own sources. What FOLDER/installed names, a package
# a line, counts as installed.
download_debian_packages() {
  local apt=$1 architecture=$2 release=$3
  shift 3
  command -v apt-get >/dev/null && command -v dpkg >/dev/null || fail "needs Debian's apt-get and dpkg"
  mkdir -p "$apt/lists/partial" "$apt/archives/partial"
  touch "$apt/installed" "$apt/status" # apt never looks at what this machine has installed
  local package
  while read -r package; do
    printf 'Package: %s\nStatus: install ok installed\nArchitecture: %s\nVersion: 99\n\n' \
      "$package" "$architecture"
  done <"$apt/installed" >"$apt/status"
  cat >"$apt/apt.conf" <<APT
APT::Architecture "$architecture";
APT::Architectures { "$architecture"; "amd64"; };
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
Dir::State "$apt";
Dir::State::status "$apt/status";
Dir::Cache "$apt";
Debug::NoLocking "true";
APT
  if [ "$release" != - ]; then
    local mirror keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    mirror=$(debian_mirror)
    [ -n "$mirror" ] || fail "apt on this machine has no Debian mirror among its sources"
    [ ! -e "$keyring" ] || mirror="[signed-by=$keyring] $mirror"
    echo "deb $mirror $release main" >"$apt/sources.list"
    cat >>"$apt/apt.conf" <<APT
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
APT
  fi
  local log=$apt/log
  APT_CONFIG=$apt/apt.conf apt-get -q update >"$log" 2>&1 &&
    APT_CONFIG=$apt/apt.conf apt-get -qy --download-only install "$@" >>"$log" 2>&1 ||
    { tail -n 5 "$log" >&2; fail "apt-get could not download $* ($architecture); all of its output is in $log"; }
}

# unpack_debian_packages ARCHIVES PATTERN FOLDER: those whose file name PATTERN matches.
unpack_debian_packages() {
  find "$1" -maxdepth 1 -name "$2" -print0 | xargs -0 -r -P 2 -I '{}' dpkg -x '{}' "$3"
}
