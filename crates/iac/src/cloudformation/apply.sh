#!/bin/sh
# Applies the stack set until every region knows of the others, then what is global: ./apply.sh BUCKET
#
# A network can only be linked to one that exists, and a route needs the link, so what the regions' stacks say of themselves
# goes back to them as parameters: links.json. It takes three rounds at first, and one when nothing of that changes. Run it
# where both stacks are to be, in a region that the app does not depend on. A region that does not answer ends it.
set -eu
bucket=$1
cd "$(dirname "$(realpath "$0")")"
[ -e links.json ] || echo '[]' >links.json
scratch=$(mktemp -d)
trap 'rm -r "$scratch"' EXIT

# STACK TEMPLATE
deploy() {
  # What a person says of what was restored goes before what the stacks say.
  [ -e restored.json ] || echo '[]' >restored.json
  jq -s 'add | reduce .[] as $one ({}; .[$one.ParameterKey] = $one.ParameterValue) | to_entries | map(.key + "=" + .value)' \
    roles.json parameters.json prepared.json links.json restored.json >"$scratch/parameters.json"
  aws cloudformation deploy --stack-name "$1" --template-file "$2" --s3-bucket "$bucket" \
    --parameter-overrides "file://$scratch/parameters.json" --no-fail-on-empty-changeset
}

@{global_host}# What the regions' stacks say, by the names of the parameters that it is for.
outputs() {
  stacks=$(aws cloudformation list-stack-instances --stack-set-name @{app} --query 'Summaries[].[Region,StackId]' --output text)
  echo "$stacks" | sort | while read -r region stack; do
    said=$(aws cloudformation describe-stacks --region "$region" --stack-name "$stack" --query 'Stacks[0].Outputs' --output json)
    echo "$said" | jq --arg region "$region" '{region: $region, outputs: .}'
  done >"$scratch/outputs"
@{hosts}  jq -s --slurpfile before links.json --argjson names '{@{names}}' '
    ((map(.region) | unique | length) == ($names | length)) as $complete
    | [.[] | $names[.region] as $here | .outputs[] | {value: .OutputValue, key: (.OutputKey
      | if . == "Vpc" then "Vpc" + $here
        elif . == "NodeAddress" then "Node" + $here
        elif startswith("PeeringTo") then "Link" + $here + .[9:]
        elif endswith("Host") then .  # a database of several regions: all of them
        else . + $here end)}]
    + [{key: "Peered", value: ($complete | tostring)}]
    | group_by(.key) | map({ParameterKey: .[0].key, ParameterValue: (map(.value) | join(","))}) as $now
    # What is no longer said is empty; left out, it would stay what it was.
    | [$before[][] | select(.ParameterKey | IN($now[].ParameterKey) | not) | .ParameterValue = ""] + $now
    | sort_by(.ParameterKey)' "$scratch/outputs"
}

while :; do
  deploy @{app}-regions stackset.yaml
  outputs >"$scratch/links.json"
  if cmp -s "$scratch/links.json" links.json; then break; fi
  mv "$scratch/links.json" links.json
done
@{global}