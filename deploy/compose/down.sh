#!/bin/sh
# `make down`: stops everything, with the time a run needs to end. Data stays in Docker's volumes.
set -eu
cd "$(dirname "$0")/../.."
. deploy/compose/docker.sh
needs_docker down

# Compose reads the whole file before it stops anything, so values that are missing by now must be something.
for name in TARGET_HOST INFLUXDB_ADMIN_TOKEN INFLUXDB_ADMIN_PASSWORD GRAFANA_ADMIN_PASSWORD GRAFANA_SECRET_KEY RUN_AS; do
    if [ ! -e .env ] || ! grep -q "^$name=." .env; then
        eval "export $name=\"\${$name:-unset}\""
    fi
done
# Every profile, whichever was chosen when it was started.
docker compose --profile '*' down --remove-orphans
echo "Stopped. The data is kept; \`docker compose down --volumes\` forgets it, and \`make up\` goes on with it."
