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

variable "lag_alarm_seconds" {
  description = "Replication lag above which a failover could lose too much; at least the 15 minutes that S3 undertakes."
  type        = number
}

variable "alarm_actions" {
  description = "SNS topics that are told of alarms, in the bucket's region."
  type        = list(string)
}
