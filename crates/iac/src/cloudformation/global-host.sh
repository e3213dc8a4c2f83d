# REGION CLUSTER OUTPUT: the name of a global cluster, which leads to the writer wherever that is. No template can tell it.
global_host() {
  said=$(aws rds describe-global-clusters --region "$1" --global-cluster-identifier "$2" --query 'GlobalClusters[0].Endpoint')
  echo "$said" | jq --arg region "$1" --arg key "$3" '{region: $region, outputs: [{OutputKey: $key, OutputValue: .}]}' \
    >>"$scratch/outputs"
}

