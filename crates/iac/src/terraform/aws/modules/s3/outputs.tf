output "bucket" {
  description = "Name of the bucket."
  value       = aws_s3_bucket.this.id
}

output "target" {
  description = "What the buckets of other regions are told of this one, once it keeps versions."
  value       = { bucket_arn = aws_s3_bucket.this.arn, kms_key_arn = var.kms_key_arn }

  depends_on = [aws_s3_bucket_versioning.this]
}
