#!/bin/sh
# What the regions' stacks really are: ./observe.sh >stacks.json, for `lifeboat diff --observed stacks.json`
#
# Has CloudFormation look for drift in every region's stack, which changes nothing, and prints what it found of each resource; and of
# launch templates and images, at which it cannot look, what EC2 says. Run it where `apply.sh` is run. A region that does not answer is
# named and left out.
set -eu
scratch=$(mktemp -d)
trap 'rm -r "$scratch"' EXIT

# REGION STACK
observe() {
  search=$(aws cloudformation detect-stack-drift --region "$1" --stack-name "$2" --query StackDriftDetectionId --output text) || return
  until
    state=$(aws cloudformation describe-stack-drift-detection-status --region "$1" --stack-drift-detection-id "$search" \
      --query DetectionStatus --output text) || return
    [ "$state" != DETECTION_IN_PROGRESS ]
  do
    sleep 5
  done
  set -- "$1" "$2" ''
  : >"$scratch/pages"
  while :; do
    # The third is two words, or none.
    aws cloudformation describe-stack-resource-drifts --region "$1" --stack-name "$2" --max-results 100 $3 --output json \
      >"$scratch/page" || return
    jq '{StackResourceDrifts: (.StackResourceDrifts | map({StackId, LogicalResourceId, PhysicalResourceId, ResourceType,
      StackResourceDriftStatus, ActualProperties}))}' "$scratch/page" >>"$scratch/pages" || return
    next=$(jq --raw-output '.NextToken // empty' "$scratch/page")
    [ -n "$next" ] || break
    set -- "$1" "$2" "--next-token $next"
  done
  jq --raw-output '.StackResourceDrifts[] | select(.ResourceType == "AWS::AutoScaling::AutoScalingGroup") | .ActualProperties // empty | fromjson
    | .LaunchTemplate // empty | "\(.LaunchTemplateId) \(.Version)"' "$scratch/pages" | sort -u >"$scratch/templates"
  while read -r template version; do
    aws ec2 describe-launch-template-versions --region "$1" --launch-template-id "$template" --versions "$version" --output json --query \
      '{LaunchTemplateVersions: LaunchTemplateVersions[].{LaunchTemplateId: LaunchTemplateId, VersionNumber: VersionNumber,
        LaunchTemplateData: {ImageId: LaunchTemplateData.ImageId, InstanceType: LaunchTemplateData.InstanceType}}}' </dev/null || return
  done <"$scratch/templates" >>"$scratch/pages"
  images=$(jq --raw-output '.LaunchTemplateVersions[]?.LaunchTemplateData.ImageId // empty' "$scratch/pages" | grep '^ami-' | sort -u | paste -s -d ' ' -) || :
  if [ -n "$images" ]; then
    aws ec2 describe-images --region "$1" --image-ids $images --output json \
      --query '{Images: Images[].{ImageId: ImageId, SourceImageId: SourceImageId}}' >>"$scratch/pages" || return
  fi
  cat "$scratch/pages" >>"$scratch/found"
}

: >"$scratch/found"
aws cloudformation list-stack-instances --stack-set-name @{app} --query 'Summaries[].[Region,StackId]' --output text | sort >"$scratch/stacks"
while read -r region stack; do
  observe "$region" "$stack" </dev/null || echo "$region: not seen" >&2
done <"$scratch/stacks"
jq -s '{StackResourceDrifts: (map(.StackResourceDrifts // []) | add // []),
  LaunchTemplateVersions: (map(.LaunchTemplateVersions // []) | add // []), Images: (map(.Images // []) | add // [])}' "$scratch/found"
