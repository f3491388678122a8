#!/bin/sh
# Starts the image's command. Secrets come as files: of each NAME_FILE the content of that file becomes NAME, for this
# process alone, so that no secret is in the container's settings.
set -eu
umask 077
for variable in DEBITURA_API_KEY DEBITURA_WAREHOUSE DEBITURA_DBT_URL DEBITURA_PRIVACY_KEY DEBITURA_WEBHOOK_SECRETS \
    DEBITURA_ALERTS DEBITURA_CELERY_BROKER DAGSTER_POSTGRES_URL; do
    file=$(printenv "${variable}_FILE" || true)
    if [ -n "$file" ]; then
        if [ ! -r "$file" ]; then
            echo "${variable}_FILE: $file cannot be read by user $(id -u)." >&2
            exit 2
        fi
        export "$variable=$(cat "$file")"
        unset "${variable}_FILE"
    fi
done
exec "$@"
