variable "app" {
  description = "Value of the tag lifeboat:backup on what is backed up."
  type        = string
}

variable "name" {
  description = "Name of the plan."
  type        = string
}

variable "partition" {
  description = "Partition of ARNs, such as aws."
  type        = string
}

variable "vault" {
  description = "Name of the region's vault."
  type        = string
}

variable "schedule" {
  description = "When the plan runs, in UTC."
  type        = string
  default     = "cron(30 2 * * ? *)"
}

variable "keep_days" {
  description = "For how long a backup is kept, here and in the other regions."
  type        = number
  default     = 35
}

variable "copy_to" {
  description = "ARNs of the vaults in other regions."
  type        = list(string)
}

variable "hourly_copies_to" {
  description = "ARNs of the vaults in regions that have nothing but backups of a database here."
  type        = list(string)
  default     = []
}

variable "keep_hourly_days" {
  description = "For how long a copy by the hour is kept, here and there."
  type        = number
  default     = 7
}

variable "alarm_actions" {
  description = "SNS topics that are told of alarms, in the vault's region."
  type        = list(string)
}
