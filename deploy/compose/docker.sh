# shellcheck shell=sh
# Read by up.sh and down.sh: is there what they need? One line and exit code 2 if not.

refuse() {
    echo "make $1: $2" >&2
    exit 2
}

needs_docker() {
    command -v docker >/dev/null 2>&1 ||
        refuse "$1" "docker is not installed: see https://docs.docker.com/engine/install/"
    docker compose version >/dev/null 2>&1 ||
        refuse "$1" "docker has no compose plugin: install docker-compose-plugin (https://docs.docker.com/compose/install/linux/)"
    docker info >/dev/null 2>&1 ||
        refuse "$1" "docker does not answer: start it (sudo systemctl start docker), and see that you may use it (group docker)"
}
