variable "name" {
  description = "Name of the vault."
  type        = string
}

variable "resource_group" {
  description = "Resource group of what is global."
  type        = string
}

variable "location" {
  description = "Azure's name of the region."
  type        = string
}

variable "redundancy" {
  description = "GeoRedundant, where the region has a pair. For good, once made."
  type        = string
}

variable "immutability" {
  description = "Unlocked: nothing can be deleted before its time unless that is turned off first. Locked: not even then, for good."
  type        = string
}

variable "keep_days" {
  description = "For how long a backup is kept."
  type        = number
  default     = 35
}

variable "soft_delete_days" {
  description = "For how long the vault keeps what was deleted from it."
  type        = number
  default     = 14
}

variable "daily" {
  description = "When backups of blobs begin, and how often they are made."
  type        = string
  default     = "R/2026-01-01T02:30:00+00:00/P1D"
}

variable "weekly" {
  description = "The same of PostgreSQL servers."
  type        = string
  default     = "R/2026-01-04T02:30:00+00:00/P1W"
}

variable "servers" {
  description = "PostgreSQL servers that write, by component. Of a replica no backup can be made."
  type        = map(string)
  default     = {}
}

variable "server_group_id" {
  description = "Resource group of these servers; null where there are none."
  type        = string
  default     = null
}

variable "accounts" {
  description = "Storage accounts with the containers that are backed up, by component."
  type        = map(object({ id = string, containers = list(string) }))
  default     = {}
}

variable "action_groups" {
  description = "Action groups that are told of failed backups."
  type        = list(string)
}
