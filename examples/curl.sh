#!/bin/sh
# One payment, the same one again, and the look-up, with curl. Needs a running Weir (npm start).
# usage: sh examples/curl.sh [URL]
set -eu
url=${1:-http://127.0.0.1:8080}
id=curl-$$-$(date +%s)

payment=$(cat <<JSON
{"transaction_id": "$id", "event_time": "$(date -u +%Y-%m-%dT%H:%M:%SZ)", "customer_id": "curl-customer",
 "terminal_id": "terminal-7", "amount_minor": 25000, "currency": "EUR"}
JSON
)

echo '# the decision, with its features, score and reasons'
curl -sS --fail-with-body "$url/v1/decisions" -H 'content-type: application/json' -d "$payment"

printf '\n# sent once more: the same decision_id and decided_at, and no feature counts it twice\n'
curl -sS --fail-with-body "$url/v1/decisions?include_features=false" -H 'content-type: application/json' -d "$payment"

printf '\n# looked up by its id, in words\n'
curl -sS --fail-with-body "$url/v1/decisions/$id?customer_id=curl-customer&include_explanation=true"
echo
