variable "name" {
  description = "Name of everything."
  type        = string
}

variable "resource_group" {
  description = "The region's resource group."
  type        = string
}

variable "location" {
  description = "Azure's name of the region."
  type        = string
}

variable "source_server_id" {
  description = "The server to replicate when this one is created; null makes a writer."
  type        = string
  default     = null
}

variable "engine_version" {
  description = "Major version of PostgreSQL."
  type        = string
}

variable "sku" {
  description = "Size of the server; the same in every region, or a switchover is refused."
  type        = string
}

variable "storage_gib" {
  description = "Storage in GiB; the same in every region, or a switchover is refused."
  type        = number
}

variable "subnet_id" {
  description = "Subnet that is delegated to PostgreSQL servers."
  type        = string
}

variable "private_dns_zone_id" {
  description = "Private DNS zone with the servers' names."
  type        = string
}

variable "administrator" {
  description = "Entra group that administers the databases: no passwords. Null on replicas."
  type        = object({ name = string, id = string })
  default     = null
}

variable "lag_alarm_seconds" {
  description = "Replication lag above which a failover could lose too much; null where nothing is replicated."
  type        = number
  default     = null
}

variable "action_groups" {
  description = "Action groups that are told of alarms."
  type        = list(string)
}

variable "geo_redundant_backup" {
  description = "Whether backups lie in Azure's paired region too, as they have to where they are all that is elsewhere. For good, once made."
  type        = bool
  default     = false
}
