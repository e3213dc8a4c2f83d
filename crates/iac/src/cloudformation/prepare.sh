#!/bin/sh
# What no template can do, before the stack set is applied: ./prepare.sh FILE BUCKET
#
# FILE is the app's file, which goes into every region for its node; BUCKET takes the regional template. Writes prepared.json,
# parameters for apply.sh. Run it again when FILE has changed.
set -eu
file=$(realpath "$1")
bucket=$2
cd "$(dirname "$(realpath "$0")")"

# REGION NAME. Encrypted, which CloudFormation does not make parameters of the Systems Manager.
put_file() {
  aws ssm put-parameter --region "$1" --name "$2" --type SecureString --tier Intelligent-Tiering --overwrite \
    --value "file://$file" >/dev/null
}
@{files}
prepared='{}'
# PARAMETER VALUE
known() {
  prepared=$(echo "$prepared" | jq --arg key "$1" --arg value "$2" '. + {($key): $value}')
}
@{images}
# A name for each content: a stack set whose template changed behind the same URL would not notice.
key=@{app}/$(sha256sum regional.yaml | cut -c 1-16).yaml
aws s3 cp --only-show-errors regional.yaml "s3://$bucket/$key"
region=$(aws s3api get-bucket-location --bucket "$bucket" --query LocationConstraint --output text)
[ "$region" != None ] || region=us-east-1
known TemplateUrl "https://$bucket.s3.$region.amazonaws.com/$key"

echo "$prepared" | jq 'to_entries | map({ParameterKey: .key, ParameterValue: .value})' >prepared.json
