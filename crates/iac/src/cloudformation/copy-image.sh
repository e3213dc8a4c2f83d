# PARAMETER REGION NAME FROM IMAGE. An image exists in one region only, and a region that is lost takes it along; every
# region launches its own copy, encrypted, also the one that has the image.
copy_image() {
  image=$(aws ec2 describe-images --region "$2" --owners self --filters "Name=name,Values=$3" \
    --query 'Images[0].ImageId' --output text)
  if [ "$image" = None ]; then
    echo "copying $5 to $2" >&2
    image=$(aws ec2 copy-image --region "$2" --name "$3" --source-region "$4" --source-image-id "$5" --encrypted \
      --query ImageId --output text)
  fi
  aws ec2 wait image-available --region "$2" --image-ids "$image"
  known "$1" "$image"
}
