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

variable "database" {
  description = "Name of the database in the account."
  type        = string
}

variable "max_throughput" {
  description = "Most request units per second: it scales between this and a tenth of it. Whole thousands."
  type        = number
}

variable "locations" {
  description = "The account's regions."
  type        = map(object({ location = string, zone_redundant = bool }))
}

variable "order" {
  description = "The regions in the order of preference."
  type        = list(string)
}

variable "writer" {
  description = "The region that writes; from roles.auto.tfvars.json."
  type        = string
}

variable "multiple_writers" {
  description = "Whether every region writes; conflicts go to the newest write."
  type        = bool
}

variable "consistency" {
  description = "Default consistency. Strong with two regions stops writes when the reading one is lost."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets that may connect, by region."
  type        = map(string)
}

variable "lag_alarm_milliseconds" {
  description = "Replication lag above which a failover could lose too much; null where there is none."
  type        = number
  default     = null
}

variable "action_groups" {
  description = "Action groups that are told of alarms."
  type        = list(string)
}
