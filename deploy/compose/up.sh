#!/bin/sh
# `make up`: secrets into .env, the image, all services; then where they are. Running it again changes what has changed.
set -eu
cd "$(dirname "$0")/../.."
. deploy/compose/docker.sh
needs_docker up

# Text that is as hard to guess as it is long: $1 bytes in hex, which means the same in YAML, in .env and in an address.
random() {
    od -An -v -N"$1" -tx1 /dev/urandom | tr -d ' \n'
}

# The value of a name in .env, as docker compose reads it: the last one counts. Empty if there is none.
value() {
    sed -n "s/^$1=//p" .env | tail -n 1
}

# What docker compose goes by: this shell's value, else the file's.
setting() {
    eval "here=\${$1:-}"
    echo "${here:-$(value "$1")}"
}

# A line for .env, unless there is a value already.
put() {
    if [ -z "$(setting "$1")" ]; then
        # a file that somebody wrote may end in the middle of a line
        [ ! -s .env ] || [ -z "$(tail -c 1 .env)" ] || echo >>.env
        printf '%s=%s\n' "$1" "$2" >>.env
    fi
}

umask 077
if [ ! -e .env ]; then
    echo "# Made by \`make up\`. docker-compose.yml says what else may stand here. The secrets count when the data is first made." >.env
    [ -n "${TARGET_HOST:-}" ] || put COMPOSE_PROFILES simulator
    put TARGET_HOST http://simulator:8080
fi
chmod 600 .env
put INFLUXDB_ADMIN_TOKEN "$(random 32)"
put INFLUXDB_ADMIN_PASSWORD "$(random 16)"
put GRAFANA_ADMIN_PASSWORD "$(random 16)"
put GRAFANA_SECRET_KEY "$(random 32)"
# Results belong to whoever called this; root's get a user of their own, for nothing in there runs as root.
if [ "$(id -u)" = 0 ]; then
    put RUN_AS 10001:10001
else
    put RUN_AS "$(id -u):$(id -g)"
fi
umask 022
mkdir -p results
if [ "$(id -u)" = 0 ]; then
    chown "$(setting RUN_AS)" results
fi

docker compose build
docker compose up --detach --wait --remove-orphans || {
    code=$?
    echo "make up: not everything came up; \`docker compose ps --all\` says what, \`docker compose logs NAME\` why" >&2
    exit "$code"
}

port() {
    chosen=$(setting "$1")
    echo "http://127.0.0.1:${chosen:-$2}"
}
cat <<END

Locust    $(port LOCUST_PORT 8089)    start a run here; it asks for no login, so it is for this machine only
Grafana   $(port GRAFANA_PORT 3000)    user admin, password: sed -n s/^GRAFANA_ADMIN_PASSWORD=//p .env
InfluxDB  $(port INFLUXDB_PORT 8086)    user admin, password: sed -n s/^INFLUXDB_ADMIN_PASSWORD=//p .env

Under load is $(setting TARGET_HOST | sed 's#//[^/@]*@#//#'); TARGET_HOST in .env says so. Results come to ./results. \`make down\` stops all of it.
END
