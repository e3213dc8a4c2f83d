variable "app" {
  description = "Value of the tag lifeboat:backup, by which the backup plan finds the bucket."
  type        = string
}

variable "name" {
  description = "Name of the bucket; unique in the world."
  type        = string
}

variable "kms_key_arn" {
  description = "The region's key."
  type        = string
}

variable "replicate_to" {
  description = "Buckets of the other regions with their keys, by region."
  type = map(object({
    bucket_arn  = string
    kms_key_arn = string
  }))
}
