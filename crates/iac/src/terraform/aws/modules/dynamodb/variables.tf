variable "app" {
  description = "Value of the tag lifeboat:backup, by which the backup plan finds the table."
  type        = string
}

variable "name" {
  description = "Name of the table, the same in every region."
  type        = string
}

variable "kms_key_arn" {
  description = "The key in the table's own region."
  type        = string
}

variable "replicas" {
  description = "Keys of the other regions, by AWS region name."
  type        = map(string)
}

variable "strong" {
  description = "Strong consistency over exactly three regions, a witness included. Cannot be changed later."
  type        = bool
}

variable "witness" {
  description = "AWS region that only votes, for strong consistency over two replicas."
  type        = string
  default     = null
}

variable "lag_alarm_milliseconds" {
  description = "Replication lag above which a failover could lose too much."
  type        = number
}

variable "alarm_actions" {
  description = "SNS topics that are told of alarms, by AWS region name; every region of the table."
  type        = map(list(string))
}
